"""`andon`, with rollouts and scores that come late, as from engines and judges far away.

    python -m benchmarks.step_overlap.late MEDIAN_S run CONFIG.toml …

Each call of the driver to the rollout actors, and to the reward service, waits before it is made:
seconds drawn from a log-normal law with σ = 1.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

SIGMA = 1.0

S = TypeVar("S")
P = ParamSpec("P")
R = TypeVar("R")


def late(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, R]], median_s: float, rng: random.Random
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R]]:
    """Return a method that first waits so long, in the median."""

    async def waits(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        await asyncio.sleep(median_s * rng.lognormvariate(0.0, SIGMA))
        return await method(self, *args, **kwargs)

    return waits


def make_late(median_s: float) -> None:
    """Have all rollouts and scores of this process come late."""
    from cluster.loops.fleet import RolloutFleet
    from reward_service.client import RewardClient

    for each, name in ((RolloutFleet, "generate"), (RewardClient, "score")):
        setattr(each, name, late(getattr(each, name), median_s, random.Random(name)))


if __name__ == "__main__":
    from cluster.cli import main

    make_late(float(sys.argv.pop(1)))
    main()
