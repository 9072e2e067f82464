"""Rollout actors as a run has them, by themselves: real processes, and requests to give them."""

from __future__ import annotations

import itertools
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from actors.config import ResponseConfig, RolloutConfig
from actors.shell import RolloutActorShell
from benchmarks.against_trl.task import PROMPT_TOKENS, SPECIAL_TOKENS, VOCABULARY
from cluster.loops.fleet import RolloutFleet
from cluster.starting.remote import RemoteActor
from protocol.messages import Prompt, RolloutRequest, Sampling
from protocol.remote import spawn


@asynccontextmanager
async def rollout_fleet(
    model: Path, response: ResponseConfig, config: RolloutConfig
) -> AsyncIterator[RolloutFleet]:
    """Have the actors of a config, started, behind the fleet that the controller asks."""
    start = spawn(RolloutActorShell, "a rollout actor", {"num_cpus": 1, "max_concurrency": 1000})
    actors = [
        RemoteActor(start(f"rollout-{number}", str(model), response, config, number))
        for number in range(config.num_actors)
    ]
    try:
        for actor in actors:
            await actor.start()
        yield RolloutFleet(actors, config.requests_per_call)
    finally:
        for actor in actors:
            await actor.stop()
            actor.kill()


def endless_requests(response: ResponseConfig) -> Callable[[int], Sequence[RolloutRequest]]:
    """Return what gives so many requests that never came before, of random prompts."""
    rng, numbers = random.Random(1), itertools.count()
    sampling = Sampling(temperature=response.temperature, max_tokens=response.max_tokens, seed=None)

    def some(count: int) -> list[RolloutRequest]:
        return [
            RolloutRequest(
                rollout_id=f"t-{next(numbers):06d}",
                prompt=Prompt(
                    prompt_id="p",
                    text="",
                    token_ids=tuple(
                        rng.randrange(len(SPECIAL_TOKENS), VOCABULARY) for _ in range(PROMPT_TOKENS)
                    ),
                ),
                purpose="train",
                sampling=sampling,
            )
            for _ in range(count)
        ]

    return some
