"""A reward with a mark head on 1 and 2 gloo ranks, ZeRO 0, 2 and 3, 1 and 3 threads: all agree."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.support.marked_labels import PlainMarks, marking_request
from tests.support.rank_fixtures import ran_by_ranks

ENGINES = ("0", "2", "3", "0-float32-3")

ran = ran_by_ranks(ENGINES, module="tests.support.mark_ranks")


@pytest.fixture(scope="session")
def plain(tiny_model: Path) -> tuple[dict[str, Tensor], float]:
    reward = PlainMarks(tiny_model)
    loss = reward.refit(marking_request())
    return reward.tensors(), loss


@pytest.mark.parametrize("engine", ENGINES)
def test_a_refit_with_marks(ran: Path, engine: str, plain: tuple[dict[str, Tensor], float]) -> None:
    expected, loss = plain
    figures = json.loads((ran / f"marks-{engine}.json").read_text())
    assert figures["reward_model/mark_loss"] == pytest.approx(loss, rel=1e-4)
    tensors = load_file(ran / f"marks-{engine}.safetensors")
    assert set(tensors) == set(expected)
    for name, tensor in tensors.items():
        torch.testing.assert_close(tensor, expected[name], atol=5e-5, rtol=1e-4, msg=name)
