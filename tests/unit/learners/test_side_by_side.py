"""Passes of one process that go on at once: their order, their gradients, who may."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from learners.side_by_side import SideBySide, gradients, threads_for_passes
from tests.support.patience import PATIENCE_S

CPU = torch.device("cpu")


@pytest.fixture
def three() -> Iterator[SideBySide]:
    passes = SideBySide(3)
    yield passes
    passes.close()


def test_passes_go_on_at_once_and_answer_in_order(three: SideBySide) -> None:
    all_there = threading.Barrier(3)

    def run(number: int) -> int:
        all_there.wait(PATIENCE_S)
        return number

    assert three.each([partial(run, number) for number in range(3)]) == [0, 1, 2]


def test_what_one_raises_comes_when_none_is_under_way(three: SideBySide) -> None:
    raised, done = threading.Event(), []

    def fail() -> None:
        raised.set()
        raise ValueError("no such pass")

    def work() -> None:
        assert raised.wait(PATIENCE_S)
        done.append(1)

    with pytest.raises(ValueError, match="no such pass"):
        three.each([fail, work, work])
    assert done == [1, 1]


def test_one_thread_is_the_caller_s() -> None:
    passes = SideBySide(1)
    assert passes.each([threading.current_thread] * 2) == [threading.current_thread()] * 2
    passes.close()


@pytest.mark.parametrize(
    ("num_rows", "max_rows", "most"), [(32, 64, 11), (32, 4, 4), (2, 64, 1), (0, 64, 1)]
)
def test_no_thread_lacks_a_pass(three: SideBySide, num_rows: int, max_rows: int, most: int) -> None:
    assert three.rows_of_a_pass(num_rows, max_rows) == most


def test_gradients_found_before_are_those_of_the_loss() -> None:
    torch.manual_seed(1)
    module, x = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1)), torch.randn(5, 4)
    unused = nn.Parameter(torch.ones(2))
    parameters = [*module.parameters(), unused]

    def loss() -> Tensor:
        total: Tensor = module(x).square().sum()
        return total

    expected = torch.autograd.grad(loss(), list(module.parameters()))
    known = gradients(loss(), parameters)
    assert all(each.grad is None for each in parameters)
    assert known.item() == loss().item()
    (2 * known).backward()
    for parameter, gradient in zip(module.parameters(), expected, strict=True):
        assert parameter.grad is not None
        assert parameter.grad.equal(2 * gradient)
    assert unused.grad is None


class Attention(nn.Module):
    """As models have it whose attention drops out without a layer for it."""

    attention_dropout: float

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.attention_dropout = rate
        self.weight = nn.Linear(2, 2)


@pytest.mark.parametrize(
    ("module", "threads"),
    [
        (nn.Linear(2, 2), 3),
        (nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.0)), 3),
        (nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1)), 1),
        (nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1)).eval(), 3),
        (Attention(0.0), 3),
        (Attention(0.1), 1),
        (nn.Linear(2**14 + 1, 2**14, device="meta"), 1),
        (nn.Linear(2**14 + 1, 2**14, device="meta").requires_grad_(False), 3),
    ],
)
def test_who_may_go_side_by_side(module: nn.Module, threads: int) -> None:
    assert threads_for_passes(module, 3, CPU) == threads
    assert threads_for_passes(module, 3, torch.device("cuda")) == 1
