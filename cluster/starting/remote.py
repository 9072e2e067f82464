"""The controller's ports, answered by Ray actors: a method is a call, an error the real one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import ray

from actors.shell import RolloutActorShell
from cluster.starting.ranks import RankGroup
from cluster.supervision.deadlines import started_within
from cluster.supervision.restarts import Restarts
from learners.shell import LearnerRank, RewardTrainerRank
from protocol.errors import PartFailed
from protocol.fits import FitRequest, RewardVersion
from protocol.messages import (
    ActorStats,
    ExperienceBatch,
    PolicyVersion,
    Rollout,
    RolloutRequest,
    StepReport,
)
from protocol.remote import Remote
from reward_service.retention import newest_bundle

R = TypeVar("R")

REWARD_TRAINER = "the reward trainer"
"""Names its ranks in errors."""


class RemoteActor:
    """A rollout actor.

    Args:
        actor: Its process.
    """

    def __init__(self, actor: Remote[RolloutActorShell]) -> None:
        self._actor = actor

    @property
    def who(self) -> str:
        """Names it in errors, e.g. "rollout actor rollout-0"."""
        return self._actor.who

    async def start(self) -> None:
        """Start its engine.

        Raises:
            ActorDied: It is gone, or did not start in `START_TIMEOUT_S`.
        """
        async with started_within(self.who, "start its engine"):
            await self._actor.ask(RolloutActorShell.start)

    async def generate(self, requests: Sequence[RolloutRequest]) -> list[Rollout]:
        """See `protocol.ports.RolloutActor`."""
        return await self._actor.ask(RolloutActorShell.generate, requests)

    async def load_policy(self, policy: PolicyVersion) -> float:
        """See `protocol.ports.RolloutActor`."""
        return await self._actor.ask(RolloutActorShell.load_policy, policy)

    async def rest(self) -> None:
        """See `protocol.ports.RolloutActor`."""
        await self._actor.ask(RolloutActorShell.rest)

    async def gpus(self) -> list[str]:
        """Return the GPUs that Ray has given it."""
        return await self._actor.ask(RolloutActorShell.gpus)

    async def stats(self) -> ActorStats:
        """Return what it did so far."""
        return await self._actor.ask(RolloutActorShell.stats)

    async def stop(self) -> None:
        """End its engine."""
        await self._actor.ask(RolloutActorShell.stop)

    def kill(self) -> None:
        """End its process at once, and its engine with it. May be called twice."""
        ray.kill(self._actor.handle)


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

    async def gpus(self) -> list[str]:
        """Return the GPUs that Ray has given rank 0."""
        async with self._turn:
            return await self._ranks.ask(LearnerRank.gpus)

    async def save(self, path: str) -> None:
        """Write the current policy as a Hugging Face folder."""
        async with self._turn:
            await self._ranks.ask(LearnerRank.save, path)

    async def rest(self) -> None:
        """See `protocol.ports.Rests`."""
        async with self._turn:
            await self._ranks.ask(LearnerRank.rest)

    async def wake(self) -> None:
        """See `protocol.ports.Rests`."""
        async with self._turn:
            await self._ranks.ask(LearnerRank.wake)


class RemoteRewardTrainer:
    """The reward trainer's ranks as one; when one of them dies, all are started again.

    The new ranks go on from the last version that was published, and are asked the same fit again.
    If it was that very fit, they answer what the old ones would have. A refit that was worked on
    begins anew. The ranks take one call at a time, so an update waits for a step of a refit.

    Args:
        place: Makes the ranks, not yet started; each time new ones.
        root: The run's `reward` folder.
        restarts: How often that may be.
    """

    def __init__(
        self,
        place: Callable[[], RankGroup[RewardTrainerRank]],
        root: Path,
        restarts: Restarts,
    ) -> None:
        self._place = place
        self._root = root
        self._restarts = restarts
        self._ranks = place()
        self._sequences: Sequence[Sequence[int]] | None = None
        self._is_started = False
        self._turn = asyncio.Lock()
        self._worked_on: FitRequest | None = None
        """The refit that the ranks have begun."""

    async def come_up(self) -> None:
        """Have the ranks import what they need, before there is anything to give them."""
        await self._insist(lambda: self._ranks.ask(RewardTrainerRank.come_up))

    async def start(self, sequences: Sequence[Sequence[int]]) -> None:
        """Give the ranks the samples of ρ that normalise; they can fit from then on.

        Args:
            sequences: [N][T_n] prompt + kept response.
        """
        self._sequences = sequences
        await self._insist(self._begin)

    async def advance(self, request: FitRequest, num_steps: int) -> bool:
        """See `protocol.ports.RewardTrainer`."""

        async def advance() -> bool:
            await self._begin()
            # It goes to the ranks once: with many labels it is large.
            told = None if request is self._worked_on else request
            self._worked_on = None
            is_done = await self._ranks.ask(RewardTrainerRank.advance, num_steps, told)
            self._worked_on = request
            return is_done

        async with self._turn:
            return await self._insist(advance)

    async def fit(self, request: FitRequest) -> RewardVersion:
        """See `protocol.ports.RewardTrainer`."""

        async def fit() -> RewardVersion:
            await self._begin()
            if request.kind == "refit":
                self._worked_on = None
            return said(await self._ranks.ask(RewardTrainerRank.fit, request))

        async with self._turn:
            return await self._insist(fit)

    async def stop(self) -> None:
        """Free their memory; dead ranks have none."""
        with suppress(PartFailed):
            await self._ranks.ask(RewardTrainerRank.stop)

    async def _begin(self) -> None:
        if self._is_started:
            return
        assert self._sequences is not None, "start() first"
        host, port = await self._ranks.meeting_point()
        resume_from = newest_bundle(self._root)
        await self._ranks.ask(
            RewardTrainerRank.start, host, port, self._sequences, resume_from=resume_from
        )
        self._is_started = True

    async def _insist(self, call: Callable[[], Awaitable[R]]) -> R:
        """Return what a call returns, also where ranks die in it, as often as that is allowed."""
        while True:
            try:
                return await call()
            except PartFailed as error:
                await self._restarts.allow(REWARD_TRAINER, error)
            # One that lives waits for the dead in a collective, and answers nothing.
            self._ranks.kill()
            self._ranks, self._is_started, self._worked_on = self._place(), False, None


def said(answer: R | None) -> R:
    """Return what rank 0 answered, who answers for all; the others return None."""
    assert answer is not None, "rank 0 answers"
    return answer
