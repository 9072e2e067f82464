"""Sending by a collective: what is told, what is sent, and an end to waiting."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from learners.nccl_weights import NcclPublisher
from protocol.errors import MissingError, VersionError, WeightsNotTaken
from protocol.messages import DeviceTransfer
from protocol.ports import PushingPublisher
from tests.support.fake_broadcast import FakeBroadcast
from tests.support.weight_broadcast_contract import WeightBroadcastContract

WEIGHTS = {
    "transformer.wte.weight": torch.arange(6.0).view(2, 3),
    "lm_head.weight": torch.ones(4, dtype=torch.bfloat16),
}


class TestFakeBroadcast(WeightBroadcastContract, of=FakeBroadcast):
    @pytest.fixture
    def broadcast(self) -> FakeBroadcast:
        return FakeBroadcast()


def weights(value: float) -> dict[str, Tensor]:
    return {name: torch.full_like(tensor, value) for name, tensor in WEIGHTS.items()}


def test_each_actor_is_told_its_seat_and_what_will_come() -> None:
    publisher = NcclPublisher(FakeBroadcast(), kept_versions=2, timeout_s=10)
    assert isinstance(publisher, PushingPublisher)
    ref = publisher.publish(1, WEIGHTS)
    assert ref.num_bytes == 6 * 4 + 4 * 2
    update_info = {
        "names": ["transformer.wte.weight", "lm_head.weight"],
        "dtype_names": ["float32", "bfloat16"],
        "shapes": [[2, 3], [4]],
    }
    assert ref.transfers == {
        "rollout-0": DeviceTransfer(init_info={"rank_offset": 1}, update_info=update_info),
        "rollout-1": DeviceTransfer(init_info={"rank_offset": 2}, update_info=update_info),
    }


def test_the_version_that_was_asked_for_is_sent_also_when_there_is_a_newer_one() -> None:
    broadcast = FakeBroadcast()
    publisher = NcclPublisher(broadcast, kept_versions=2, timeout_s=10)
    for version in (1, 2):
        publisher.publish(version, weights(version))
    publisher.send(1)
    publisher.send(2)
    first, second = broadcast.sent
    assert torch.equal(torch.as_tensor(first["lm_head.weight"]), weights(1)["lm_head.weight"])
    assert torch.equal(torch.as_tensor(second["lm_head.weight"]), weights(2)["lm_head.weight"])


def test_only_the_last_versions_are_kept() -> None:
    publisher = NcclPublisher(FakeBroadcast(), kept_versions=2, timeout_s=10)
    for version in (1, 2, 3):
        publisher.publish(version, WEIGHTS)
    with pytest.raises(MissingError, match="policy version 1 is no longer kept"):
        publisher.send(1)
    with pytest.raises(VersionError, match="3 came after 3"):
        publisher.publish(3, WEIGHTS)


def test_a_send_to_which_not_all_come_ends() -> None:
    broadcast = FakeBroadcast(is_alone=True)
    publisher = NcclPublisher(broadcast, kept_versions=2, timeout_s=0.05)
    publisher.publish(1, WEIGHTS)
    with pytest.raises(WeightsNotTaken, match="not all rollout actors took policy version 1"):
        publisher.send(1)
    assert broadcast.left.wait(10)


def test_what_goes_wrong_in_the_collective_is_raised() -> None:
    broadcast = FakeBroadcast()
    broadcast.failure = RuntimeError("NCCL error: unhandled system error")
    publisher = NcclPublisher(broadcast, kept_versions=2, timeout_s=10)
    publisher.publish(1, WEIGHTS)
    with pytest.raises(RuntimeError, match="unhandled system error"):
        publisher.send(1)


def test_closing_leaves_the_collective() -> None:
    broadcast = FakeBroadcast()
    publisher = NcclPublisher(broadcast, kept_versions=2, timeout_s=10)
    publisher.publish(1, WEIGHTS)
    publisher.close()
    assert broadcast.aborted.is_set()
    with pytest.raises(MissingError):
        publisher.send(1)
