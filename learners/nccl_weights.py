"""The learner's end of the `nccl` weight path: versions kept on the host, sent when all have come.

NCCL is a collective. Whoever is alone in it waits for ever, so a send has a deadline, after which
the collective is left for good.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import Future
from typing import cast

from torch import Tensor

from learners.device_weights import described, num_bytes
from learners.weights import check_rising
from protocol.errors import MissingError, WeightsNotTaken
from protocol.messages import BroadcastWeights, DeviceTransfer
from protocol.ports import WeightBroadcast


class NcclPublisher:
    """See `protocol.ports.PushingPublisher`.

    Args:
        broadcast: The collective.
        kept_versions: How many stay in the host's memory; more than the learner may run ahead of
            an actor's load.
        timeout_s: How long a send waits for the actors.
    """

    def __init__(self, broadcast: WeightBroadcast, kept_versions: int, timeout_s: float) -> None:
        self._broadcast = broadcast
        self._kept_versions = kept_versions
        self._timeout_s = timeout_s
        self._versions: OrderedDict[int, Mapping[str, Tensor]] = OrderedDict()

    def publish(self, version: int, tensors: Mapping[str, object]) -> BroadcastWeights:
        """Keep a version and return what each actor is told of it.

        Raises:
            VersionError: The version is not above the last.
        """
        check_rising(version, self._versions)
        kept = dict(cast(Mapping[str, Tensor], tensors))
        self._versions[version] = kept
        while len(self._versions) > self._kept_versions:
            self._versions.popitem(last=False)
        update_info = described(kept)
        transfers = {
            actor_id: DeviceTransfer(init_info=seat, update_info=update_info)
            for actor_id, seat in self._broadcast.seats().items()
        }
        return BroadcastWeights(transfers=transfers, num_bytes=num_bytes(kept))

    def send(self, version: int) -> None:
        """Send a version to all actors; block until they have it.

        Raises:
            MissingError: It is no longer kept.
            WeightsNotTaken: Not all actors took it in time.
        """
        if version not in self._versions:
            raise MissingError(f"policy version {version} is no longer kept to be sent")
        sent: Future[None] = Future()
        # A thread that is stuck in NCCL cannot be ended: it must not hold the process back.
        threading.Thread(target=self._send, args=(version, sent), daemon=True).start()
        try:
            sent.result(self._timeout_s)
        except TimeoutError:
            self._broadcast.abort()
            raise WeightsNotTaken(
                f"not all rollout actors took policy version {version} within "
                f"{self._timeout_s:g} s: see their logs, or raise rollouts.push_timeout_s"
            ) from None

    def close(self) -> None:
        """Leave the collective and forget all versions. May be called twice."""
        self._broadcast.abort()
        self._versions.clear()

    def _send(self, version: int, sent: Future[None]) -> None:
        try:
            self._broadcast.send(self._versions[version])
        except Exception as error:  # noqa: BLE001 -- raised where it is waited for
            sent.set_exception(error)
        else:
            sent.set_result(None)
