"""The learner's end of vLLM's `nccl` weight transfer: a module that speaks to vLLM.

It runs in the learner's process, whose package must not know vLLM: the roof hands it over.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from vllm.distributed.device_communicators.pynccl_wrapper import NCCLLibrary
from vllm.distributed.weight_transfer.base import ParamMeta, WeightSource
from vllm.distributed.weight_transfer.nccl_common import (
    NCCLWeightTransferInitInfo,
    uid_init_process_group,
    worker_init_payload,
)
from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerWeightTransferEngine


def new_unique_id() -> bytes:
    """Return the id by which the members of a new communicator find each other.

    NCCL listens for them in this process from now on.
    """
    return bytes(NCCLLibrary().ncclGetUniqueId().internal)


class NcclBroadcast:
    """See `protocol.ports.WeightBroadcast`: rank 0 here, then every actor's devices in turn.

    The members meet by an id that travels with the announcement. vLLM's other way, a store on an
    open port, would exchange it as a pickle.

    Args:
        actor_ids: Of all rollout actors.
        devices_per_actor: How many an engine is split over.
        unique_id: From `new_unique_id`, in this process.
    """

    def __init__(self, actor_ids: Sequence[str], devices_per_actor: int, unique_id: bytes) -> None:
        self._actor_ids = actor_ids
        self._devices_per_actor = devices_per_actor
        self._unique_id = unique_id
        self._world_size = 1 + len(actor_ids) * devices_per_actor
        self._source = _Source()
        self._engine = NCCLTrainerWeightTransferEngine(client=_Nobody(), source=self._source)

    def seats(self) -> dict[str, dict[str, object]]:
        """Return the `init_info` of each actor's engine."""
        return {
            actor_id: worker_init_payload(
                NCCLWeightTransferInitInfo(
                    rank_offset=1 + index * self._devices_per_actor,
                    world_size=self._world_size,
                    nccl_unique_id_b64=base64.b64encode(self._unique_id).decode(),
                    packed=self._engine.packed,
                    packed_buffer_size_bytes=self._engine.packed_buffer_size_bytes,
                    packed_num_buffers=self._engine.packed_num_buffers,
                )
            )
            for index, actor_id in enumerate(self._actor_ids)
        }

    def send(self, tensors: Mapping[str, object]) -> None:
        """Send all tensors through this process's GPU; see the port."""
        if self._engine.model_update_group is None:
            # Ray shows each process its own GPU alone, so any thread's current one is the right.
            device = torch.accelerator.current_device_index()
            self._engine.model_update_group = uid_init_process_group(
                self._unique_id, 0, self._world_size, device
            )
        self._source.tensors = cast(Mapping[str, Tensor], tensors)
        self._engine.send_weights()

    def abort(self) -> None:
        """Leave the communicator, for good."""
        self._engine.shutdown()


class _Source(WeightSource):  # type: ignore[misc]
    """The tensors of one version, moved to the GPU one by one."""

    def __init__(self) -> None:
        self.tensors: Mapping[str, Tensor] = {}

    def metadata(self) -> list[ParamMeta]:
        return [ParamMeta(name, t.dtype, tuple(t.shape)) for name, t in self.tensors.items()]

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        for name, tensor in self.tensors.items():
            yield name, tensor.to("cuda")


class _Nobody:
    """What vLLM's trainer asks of its engines here comes to them from the controller, meanwhile."""

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None: ...

    def start_weight_update(self) -> None: ...

    def update_weights(self, update_info: Any) -> None: ...

    def finish_weight_update(self, weight_version: str | None = None) -> None: ...
