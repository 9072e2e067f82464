"""Passes through a model that go on at once in one process, each in a thread of its own.

Threads within an operation wait for each other at the end of every one of them, hundreds of times
a pass: where another process of the run takes a core in between, all wait for the one that lost
it. Passes meet once, at their end. PyTorch lets go of Python's lock in its operations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

MOST_WEIGHTS = 2**28
"""Weights in training up to which passes go side by side: each holds gradients of its own, here
1 GiB in float32. Operations of larger models take long enough for threads within them."""

T = TypeVar("T")


class SideBySide:
    """Runs passes, as many at once as there are threads; their results come in the given order.

    Args:
        num_threads: From 1, with which they run one after the other, in the caller's thread.
    """

    def __init__(self, num_threads: int) -> None:
        self.num_threads = num_threads
        self._pool = (
            ThreadPoolExecutor(num_threads, thread_name_prefix="pass") if num_threads > 1 else None
        )

    def rows_of_a_pass(self, num_rows: int, max_rows: int) -> int:
        """Return how many of so many rows a pass takes at most, so that no thread lacks one."""
        return max(1, min(max_rows, math.ceil(num_rows / self.num_threads)))

    def each(self, passes: Sequence[Callable[[], T]]) -> list[T]:
        """Return what each pass returns. If one raises, that comes once none is under way."""
        if self._pool is None or len(passes) == 1:
            return [run() for run in passes]
        running = [self._pool.submit(run) for run in passes]
        wait(running)
        return [one.result() for one in running]

    def close(self) -> None:
        """End the threads. May be called twice."""
        if self._pool is not None:
            self._pool.shutdown()


def add_in_turn(
    passes: Sequence[Callable[[], tuple[Tensor, T]]], backward: Callable[..., None]
) -> list[T]:
    """Run passes one after the other, each backward before the next; return what each tells.

    Args:
        passes: Each returns its loss and what it tells.
        backward: Takes a loss, and whether it `is_last`.
    """
    told = []
    for number, run in enumerate(passes, start=1):
        loss, says = run()
        backward(loss, is_last=number == len(passes))
        told.append(says)
    return told


def threads_for_passes(module: nn.Module, num_threads: int, device: torch.device) -> int:
    """Return how many of a rank's threads run a pass each; the rest serve within operations.

    None do on a GPU, which runs one operation after the other; with a large model; and where
    modules draw, as for dropout: all threads draw from one generator, in no order.
    """
    num_weights = sum(each.numel() for each in module.parameters() if each.requires_grad)
    if device.type != "cpu" or num_weights > MOST_WEIGHTS or _draws(module):
        return 1
    return num_threads


def _draws(module: nn.Module) -> bool:
    """Say whether a module in training drops out at random, in layers or in its attention."""
    for each in module.modules():
        rate = each.p if isinstance(each, _DropoutNd) else vars(each).get("attention_dropout", 0.0)
        if each.training and rate > 0:
            return True
    return False


def gradients(loss: Tensor, parameters: Sequence[nn.Parameter]) -> Tensor:
    """Differentiate a loss, and return its value as one whose gradients are known.

    That may be done in any thread, and adds to no parameter. What is returned says so of its
    parameters once it is asked to go `backward`, exactly.

    Args:
        loss: A scalar.
        parameters: All that it may depend on.
    """
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    known: Tensor = _Known.apply(loss.detach(), found, *parameters)  # type: ignore[no-untyped-call]
    return known


class _Known(torch.autograd.Function):
    """A number, and its gradients, which somebody has worked out before."""

    @staticmethod
    def forward(
        ctx: Any, value: Tensor, found: Sequence[Tensor | None], *parameters: Tensor
    ) -> Tensor:
        ctx.found = found
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *scales: Tensor) -> tuple[Tensor | None, ...]:
        (scale,) = scales
        known = (None if each is None else each * scale for each in ctx.found)
        return (None, None, *known)
