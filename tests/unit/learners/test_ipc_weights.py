"""Sharing a GPU's memory, with the CPU's in its place: fixed places, each opened once an actor."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from learners.ipc_weights import IpcPublisher
from protocol.errors import VersionError
from protocol.messages import OpenedWeights

WEIGHTS = {"table": torch.zeros(2, 3), "lm_head.weight": torch.zeros(4, dtype=torch.bfloat16)}


class Shares:
    """Opens tensors by number; a number gives the tensor back, as a process would open it."""

    def __init__(self) -> None:
        self.opened: list[Tensor] = []

    def __call__(self, tensor: Tensor) -> dict[str, object]:
        self.opened.append(tensor)
        return {"GPU-1": len(self.opened) - 1}

    def read(self, ref: OpenedWeights, actor_id: str) -> list[Tensor]:
        handles: Any = ref.transfers[actor_id].update_info["ipc_handles"]
        return [self.opened[handle["GPU-1"]] for handle in handles]


@pytest.fixture
def shares() -> Shares:
    return Shares()


@pytest.fixture
def publisher(shares: Shares) -> IpcPublisher:
    return IpcPublisher(["rollout-0", "rollout-1"], 2, share=shares, device="cpu")


def filled(value: float) -> dict[str, Tensor]:
    return {name: torch.full_like(tensor, value) for name, tensor in WEIGHTS.items()}


def test_every_actor_reads_what_was_published(publisher: IpcPublisher, shares: Shares) -> None:
    ref = publisher.publish(1, filled(1))
    assert ref.num_bytes == 6 * 4 + 4 * 2
    for actor_id in ("rollout-0", "rollout-1"):
        table, head = shares.read(ref, actor_id)
        assert torch.equal(table, filled(1)["table"])
        assert torch.equal(head, filled(1)["lm_head.weight"])
    told = ref.transfers["rollout-1"]
    assert told.init_info == {"packed": False}
    assert told.update_info["dtype_names"] == ["float32", "bfloat16"]
    assert told.update_info["shapes"] == [[2, 3], [4]]


def test_the_last_versions_stay_readable(publisher: IpcPublisher, shares: Shares) -> None:
    refs = [publisher.publish(version, filled(version)) for version in (1, 2, 3)]
    seen = [float(shares.read(ref, "rollout-0")[0][0, 0]) for ref in refs]
    assert seen == [3, 2, 3]  # the first version's place holds the third


def test_no_place_is_opened_twice_to_an_actor(publisher: IpcPublisher, shares: Shares) -> None:
    for version in range(1, 8):
        publisher.publish(version, filled(version))
    assert len(shares.opened) == 2 * 2 * len(WEIGHTS)  # places × actors × tensors


def test_a_version_never_comes_twice(publisher: IpcPublisher) -> None:
    publisher.publish(3, filled(3))
    with pytest.raises(VersionError, match="3 came after 3"):
        publisher.publish(3, filled(3))
