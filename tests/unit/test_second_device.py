"""The stand-in for a GPU refuses what a GPU would, and no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from tests.support.second_device import SECOND, Strayed, is_second, second_device


@pytest.fixture(autouse=True)
def _devices() -> Iterator[None]:
    with second_device():
        yield


def pair() -> tuple[Tensor, Tensor]:
    return torch.ones(3, device=SECOND), torch.ones(3)


@pytest.mark.parametrize(
    "call",
    [
        lambda a, b: a + b,
        lambda a, b: b * a,
        lambda a, b: b * a.sum(),
        lambda a, b: torch.stack([a, b]),
        lambda a, b: torch.stack([a.sum(), b.sum()]),
        lambda a, b: torch.cat([a, b]),
        lambda a, b: b[a.long()],
        lambda a, b: b[a > 0],
        lambda a, b: torch.where(a > 0, b, 0.0),
        lambda a, b: b.masked_fill(a > 0, 0.0),
        lambda a, b: a.new_zeros(3) + b,
        lambda a, b: b.index_add(0, a.long(), b),
        lambda a, b: b.sum().add_(a.sum()),
        lambda a, b: a.numpy(),
        lambda a, b: a.normal_(generator=torch.Generator()),
        lambda a, b: torch.rand(3, device=SECOND, generator=torch.Generator()),
        lambda a, b: torch.nn.functional.linear(a[None], b[None]),
        lambda a, b: torch.equal(a, b),
    ],
)
def test_devices_do_not_mix(call: Callable[[Tensor, Tensor], object]) -> None:
    with pytest.raises(Strayed):
        call(*pair())


@pytest.mark.parametrize(
    ("call", "stays"),
    [
        (lambda a, b: a + b.to(SECOND), True),
        (lambda a, b: a + b.to(a), True),
        (lambda a, b: a.to(torch.float64), True),
        (lambda a, b: a.cpu() + b, False),
        (lambda a, b: a.to("cpu") + b, False),
        (lambda a, b: a * b.sum(), True),
        (lambda a, b: b.sum() * a, True),
        (lambda a, b: a[b.long()[:1]], True),
        (lambda a, b: torch.zeros_like(a), True),
        (lambda a, b: b.copy_(a), False),
        (lambda a, b: a.copy_(b), True),
    ],
)
def test_what_may_meet_meets(call: Callable[[Tensor, Tensor], Tensor], stays: bool) -> None:
    assert is_second(call(*pair())) is stays


def test_a_model_moves_with_its_gradients() -> None:
    layer = torch.nn.Linear(3, 1).to(SECOND)
    layer(pair()[0]).sum().backward()
    assert layer.weight.device == SECOND
    assert layer.weight.grad is not None
    assert layer.weight.grad.device == SECOND
    assert pair()[1].device == torch.device("cpu")
