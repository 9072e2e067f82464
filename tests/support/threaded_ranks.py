"""Two ranks of a learner in threads of one process, without DeepSpeed: what they meet by is here.

They do what ranks do that share out a batch: each takes its rows, and gradients are summed. A rank
that does not come to a collective breaks it for the other, after a while.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch
from torch import Tensor

from tests.support.plain_engine import PlainEngine

T = TypeVar("T")

WORLD_SIZE = 2
MEETING_TIMEOUT_S = 60.0

_here = threading.local()


class _Meeting:
    """Where each rank brings a tensor and takes those of all."""

    def __init__(self) -> None:
        self._brought: dict[int, Tensor] = {}
        self._barrier = threading.Barrier(WORLD_SIZE)

    def exchange(self, rank: int, x: Tensor) -> list[Tensor]:
        self._brought[rank] = x.clone()
        self._barrier.wait(MEETING_TIMEOUT_S)
        found = [self._brought[each] for each in range(WORLD_SIZE)]
        self._barrier.wait(MEETING_TIMEOUT_S)
        return found


class ThreadedEngine(PlainEngine):
    """Of the rank whose thread makes it."""

    world_size = WORLD_SIZE

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rank: int = _here.rank
        self._meeting: _Meeting = _here.meeting

    def share(self, indices: Tensor) -> Tensor:
        return indices[self.rank :: self.world_size]

    def gathered(self, rows: Tensor) -> Tensor:
        shares = self._meeting.exchange(self.rank, rows)
        return torch.stack(shares, dim=1).flatten(0, 1)

    def summed(self, x: Tensor) -> Tensor:
        return torch.stack(self._meeting.exchange(self.rank, x)).sum(dim=0)

    def step(self, lr: float) -> float:
        for parameter in self._trained:
            own = parameter.grad
            parameter.grad = self.summed(torch.zeros_like(parameter) if own is None else own)
        return super().step(lr)


class ThreadedRanks:
    """Runs the same on every rank at once."""

    def __init__(self) -> None:
        self._meeting = _Meeting()

    def each(self, act: Callable[[int], T]) -> list[T | Exception]:
        """Call `act(rank)` in a thread a rank; return what each returned or raised."""

        def run(rank: int) -> T | Exception:
            _here.rank, _here.meeting = rank, self._meeting
            try:
                return act(rank)
            except Exception as error:  # noqa: BLE001 -- it is the answer
                return error

        with ThreadPoolExecutor(WORLD_SIZE) as threads:
            return list(threads.map(run, range(WORLD_SIZE)))


def told(answers: Sequence[object]) -> list[str]:
    """Return what ranks raised, in words; "" where one returned."""
    return [f"{type(x).__name__}: {x}" if isinstance(x, Exception) else "" for x in answers]
