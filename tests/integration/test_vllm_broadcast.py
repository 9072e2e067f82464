"""What the learner announces is what vLLM's own engines take. Needs vLLM, and no device."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from vllm.distributed.weight_transfer.ipc_engine import IPCWeightTransferUpdateInfo
from vllm.distributed.weight_transfer.nccl_engine import (
    NCCLWeightTransferInitInfo,
    NCCLWeightTransferUpdateInfo,
)

from actors.vllm_broadcast import NcclBroadcast
from actors.weights import open_weights, updates
from learners.ipc_weights import IpcPublisher
from learners.nccl_weights import NcclPublisher
from protocol.messages import DeviceTransfer, WeightsRef
from tests.support.messages import make_policy
from tests.support.weight_broadcast_contract import WeightBroadcastContract

UNIQUE_ID = bytes(range(128))
WEIGHTS = {"table": torch.zeros(2, 3), "lm_head.weight": torch.zeros(4, dtype=torch.bfloat16)}


class TestNcclBroadcast(WeightBroadcastContract, of=NcclBroadcast):
    @pytest.fixture
    def broadcast(self) -> NcclBroadcast:
        return NcclBroadcast(["rollout-0", "rollout-1"], 1, UNIQUE_ID)


async def told(actor_id: str, ref: WeightsRef) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what an actor's engine is told of an announcement: to join, and to update."""
    weights = await open_weights(replace(make_policy(1), weights=ref), actor_id)
    assert isinstance(weights, DeviceTransfer)
    (update,) = [each async for each in updates(weights)]
    return dict(weights.init_info), update


async def test_the_engines_of_all_actors_get_ranks_of_their_own() -> None:
    broadcast = NcclBroadcast(["rollout-0", "rollout-1"], 2, UNIQUE_ID)
    ref = NcclPublisher(broadcast, kept_versions=2, timeout_s=10).publish(1, WEIGHTS)
    seats = [NCCLWeightTransferInitInfo(**(await told(f"rollout-{n}", ref))[0]) for n in (0, 1)]
    assert [seat.rank_offset for seat in seats] == [1, 3]
    assert [seat.world_size for seat in seats] == [5, 5]
    assert {seat.nccl_unique_id_bytes for seat in seats} == {UNIQUE_ID}
    assert all(seat.packed for seat in seats)


async def test_updates_are_what_the_engines_parse() -> None:
    broadcast = NcclBroadcast(["rollout-0"], 1, UNIQUE_ID)
    pushed = NcclPublisher(broadcast, kept_versions=2, timeout_s=10).publish(1, WEIGHTS)
    update = NCCLWeightTransferUpdateInfo(**(await told("rollout-0", pushed))[1])
    assert [getattr(torch, name) for name in update.dtype_names] == [torch.float32, torch.bfloat16]
    assert update.shapes == [[2, 3], [4]]

    pulled = IpcPublisher(["rollout-0"], 2, share=lambda tensor: {"GPU-1": ()}, device="cpu")
    init_info, update_info = await told("rollout-0", pulled.publish(1, WEIGHTS))
    assert init_info == {"packed": False}
    assert IPCWeightTransferUpdateInfo(**update_info).names == ["table", "lm_head.weight"]
