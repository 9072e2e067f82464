"""The learner's end of the `ipc` weight path: memory of one GPU that the actors on it open too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor
from torch.multiprocessing.reductions import reduce_tensor

from learners.device_weights import described, num_bytes
from protocol.errors import VersionError
from protocol.messages import DeviceTransfer, OpenedWeights
from reward_service.lazy_tensors import outlines_of

Handle = Mapping[str, object]
"""Arguments from which another process on a GPU rebuilds a tensor, by the id of that GPU."""


def shared_by_cuda(tensor: Tensor) -> Handle:
    """Open a tensor on a GPU to one other process there."""
    _, rebuild_arguments = reduce_tensor(tensor)
    return {str(torch.cuda.get_device_properties(tensor.device).uuid): rebuild_arguments}


class IpcPublisher:
    """Copies each version into one of a few fixed places on the GPU, the longest unused.

    The places are opened to the actors once: an open handle that nobody takes would hold its memory
    for ever, and actors leave versions out. What an actor reads while it is overwritten, because
    the learner is `num_places` versions further, fails its probe.

    Args:
        actor_ids: Of all rollout actors; they run on the learner's GPU.
        num_places: How many versions stay readable; more than the learner may run ahead of an
            actor's load. Each takes the memory of all weights.
        share: Opens a tensor to one process.
        device: Of the places.
    """

    def __init__(
        self,
        actor_ids: Sequence[str],
        num_places: int,
        *,
        share: Callable[[Tensor], Handle] = shared_by_cuda,
        device: str = "cuda",
    ) -> None:
        self._actor_ids = actor_ids
        self._num_places = num_places
        self._share = share
        self._device = device
        self._places: list[_Place] = []
        self._last = -1
        self._num_published = 0

    def publish(self, version: int, tensors: Mapping[str, object]) -> OpenedWeights:
        """Copy a version to the GPU and return how each actor reads it.

        Raises:
            VersionError: The version is not above the last.
        """
        if version <= self._last:
            raise VersionError(f"policy version {version} came after {self._last}")
        source = outlines_of(cast(Mapping[str, Tensor], tensors))
        place = self._next_place(source)
        for name in source:
            place.tensors[name].copy_(cast(Tensor, tensors[name]))
        if self._device == "cuda":
            torch.cuda.synchronize()  # the actors cannot wait for the learner's stream
        self._last = version
        self._num_published += 1
        transfers = {
            actor_id: DeviceTransfer(
                init_info={"packed": False},
                update_info={**described(source), "ipc_handles": handles},
            )
            for actor_id, handles in place.handles.items()
        }
        return OpenedWeights(transfers=transfers, num_bytes=num_bytes(source))

    def close(self) -> None:
        """Free the places. May be called twice."""
        self._places.clear()

    def _next_place(self, source: Mapping[str, Tensor]) -> _Place:
        if len(self._places) < self._num_places:
            self._places.append(_Place(source, self._device, self._actor_ids, self._share))
            return self._places[-1]
        return self._places[self._num_published % self._num_places]


class _Place:
    """Memory for one version, and each actor's own handles to it."""

    def __init__(
        self,
        like: Mapping[str, Tensor],
        device: str,
        actor_ids: Sequence[str],
        share: Callable[[Tensor], Handle],
    ) -> None:
        self.tensors = {
            name: torch.empty(tensor.shape, dtype=tensor.dtype, device=device)
            for name, tensor in like.items()
        }
        self.handles = {
            actor_id: [share(tensor) for tensor in self.tensors.values()] for actor_id in actor_ids
        }
