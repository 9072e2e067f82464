"""The controller's ports, answered by Ray actors: a method is a call, an error the real one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from actors.shell import RolloutActorShell
from cluster.starting.ranks import RankGroup
from learners.shell import LearnerRank, RewardTrainerRank
from protocol.labels import FitRequest, RewardVersion
from protocol.messages import (
    ActorStats,
    ExperienceBatch,
    PolicyVersion,
    Rollout,
    RolloutRequest,
    StepReport,
)
from protocol.remote import Remote

R = TypeVar("R")


class RemoteActor:
    """A rollout actor.

    Args:
        actor: Its process.
    """

    def __init__(self, actor: Remote[RolloutActorShell]) -> None:
        self._actor = actor

    async def start(self) -> None:
        """Start its engine."""
        await self._actor.ask(RolloutActorShell.start)

    async def generate(self, requests: Sequence[RolloutRequest]) -> list[Rollout]:
        """See `protocol.ports.RolloutActor`."""
        return await self._actor.ask(RolloutActorShell.generate, requests)

    async def load_policy(self, policy: PolicyVersion) -> float:
        """See `protocol.ports.RolloutActor`."""
        return await self._actor.ask(RolloutActorShell.load_policy, policy)

    async def stats(self) -> ActorStats:
        """Return what it did so far."""
        return await self._actor.ask(RolloutActorShell.stats)

    async def stop(self) -> None:
        """End its engine."""
        await self._actor.ask(RolloutActorShell.stop)


class RemoteLearner:
    """The learner's ranks as one.

    They take one call at a time. So calls wait here for their turn, and the actors are not made to
    wait, in a collective, for a learner that is still at its step.

    Args:
        ranks: All of them.
    """

    def __init__(self, ranks: RankGroup[LearnerRank]) -> None:
        self._ranks = ranks
        self._turn = asyncio.Lock()

    async def step(self, batch: ExperienceBatch) -> StepReport:
        """See `protocol.ports.Learner`."""
        async with self._turn:
            return said(await self._ranks.ask(LearnerRank.step, batch))

    async def checkpoints(self) -> tuple[int, ...]:
        """See `protocol.ports.Learner`."""
        async with self._turn:
            return said(await self._ranks.ask(LearnerRank.checkpoints))

    async def restore(self, version: int, step: int | None = None) -> PolicyVersion:
        """See `protocol.ports.Learner`."""
        async with self._turn:
            return said(await self._ranks.ask(LearnerRank.restore, version, step))

    async def keep(self) -> int:
        """See `protocol.ports.Learner`."""
        async with self._turn:
            return said(await self._ranks.ask(LearnerRank.keep))

    async def resume(self, version: int, publish_as: int) -> PolicyVersion:
        """See `protocol.ports.Learner`."""
        async with self._turn:
            return said(await self._ranks.ask(LearnerRank.resume, version, publish_as))

    async def push(self, version: int, receive: Callable[[], Awaitable[float]]) -> float:
        """See `protocol.ports.WeightPusher`."""
        async with self._turn, asyncio.TaskGroup() as both:
            both.create_task(self._ranks.ask(LearnerRank.send, version))
            return await receive()

    async def save(self, path: str) -> None:
        """Write the current policy as a Hugging Face folder."""
        async with self._turn:
            await self._ranks.ask(LearnerRank.save, path)


class RemoteRewardTrainer:
    """The reward trainer's ranks as one.

    Args:
        ranks: All of them.
    """

    def __init__(self, ranks: RankGroup[RewardTrainerRank]) -> None:
        self._ranks = ranks

    async def fit(self, request: FitRequest) -> RewardVersion:
        """See `protocol.ports.RewardTrainer`."""
        return said(await self._ranks.ask(RewardTrainerRank.fit, request))


def said(answer: R | None) -> R:
    """Return what rank 0 answered, who answers for all; the others return None."""
    assert answer is not None, "rank 0 answers"
    return answer
