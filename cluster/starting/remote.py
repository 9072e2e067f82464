"""The controller's ports, answered by Ray actors: a method is a call, an error the real one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from actors.shell import RolloutActorShell
from cluster.starting.ranks import RankGroup
from label_queue.intake.owner_schemas import Admission
from label_queue.ledger.records import Role
from label_queue.shell import LabelQueueShell
from learners.shell import LearnerRank, RewardTrainerRank
from protocol.labels import CordState, FitRequest, QueryDraft, QueryOrder, RewardVersion
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

    async def restore(self, version: int) -> PolicyVersion:
        """See `protocol.ports.Learner`."""
        async with self._turn:
            return said(await self._ranks.ask(LearnerRank.restore, version))

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


class RemoteLabelQueue:
    """The label queue.

    Args:
        queue: Its process.
    """

    def __init__(self, queue: Remote[LabelQueueShell]) -> None:
        self._queue = queue

    async def add_reference(self, rollouts: Sequence[Rollout]) -> None:
        """See `protocol.ports.LabelQueue`."""
        await self._queue.ask(LabelQueueShell.add_reference, rollouts)

    async def next_orders(self, timeout_s: float) -> list[QueryOrder]:
        """See `protocol.ports.LabelQueue`."""
        return await self._queue.ask(LabelQueueShell.next_orders, timeout_s)

    async def offer(self, order_id: str, drafts: Sequence[QueryDraft]) -> int:
        """See `protocol.ports.LabelQueue`."""
        return await self._queue.ask(LabelQueueShell.offer, order_id, drafts)

    async def set_progress(self, episodes: int, policy: PolicyVersion) -> None:
        """See `protocol.ports.LabelQueue`."""
        await self._queue.ask(LabelQueueShell.set_progress, episodes, policy)

    async def wait_until_allowed(self, episodes: int) -> float:
        """See `protocol.ports.LabelQueue`."""
        return await self._queue.ask(LabelQueueShell.wait_until_allowed, episodes)

    async def next_fit(self) -> FitRequest:
        """See `protocol.ports.LabelQueue`."""
        return await self._queue.ask(LabelQueueShell.next_fit)

    async def learned(self, version: RewardVersion) -> None:
        """See `protocol.ports.LabelQueue`."""
        await self._queue.ask(LabelQueueShell.learned, version)

    async def pass_cord(self) -> int | None:
        """See `protocol.ports.LabelQueue`."""
        return await self._queue.ask(LabelQueueShell.pass_cord)

    async def pull_cord(self, actor: str, reason: str, offered_rollback: int | None = None) -> None:
        """See `protocol.ports.LabelQueue`."""
        await self._queue.ask(LabelQueueShell.pull_cord, actor, reason, offered_rollback)

    async def rolled_back(self, policy: PolicyVersion) -> None:
        """See `protocol.ports.LabelQueue`."""
        await self._queue.ask(LabelQueueShell.rolled_back, policy)

    async def cord(self) -> CordState:
        """See `protocol.ports.LabelQueue`."""
        return await self._queue.ask(LabelQueueShell.cord)

    async def stats(self) -> dict[str, float]:
        """See `protocol.ports.LabelQueue`."""
        return await self._queue.ask(LabelQueueShell.stats)

    async def online_stats(self) -> dict[str, float]:
        """Return the online/* metrics and the win rate of the moment."""
        return await self._queue.ask(LabelQueueShell.online_stats)

    async def first_sampled(self, version: int, at: float) -> None:
        """Tell when a policy version was first sampled."""
        await self._queue.ask(LabelQueueShell.first_sampled, version, at)

    async def tell_activity(self, words: str) -> None:
        """Say what the run is doing now, for the owner's page."""
        await self._queue.ask(LabelQueueShell.tell_activity, words)

    async def ledger_commit_p95_s(self) -> float:
        """Return the 95th percentile of the ledger's recent commits, seconds."""
        return await self._queue.ask(LabelQueueShell.ledger_commit_p95_s)

    async def add_labeler(self, name: str) -> str:
        """Admit a labeler; return their token, which is not kept in the clear."""
        return await self._queue.ask(LabelQueueShell.add_labeler, name)

    async def admit(self, labeler_id: str, role: Role) -> Admission:
        """Admit somebody; return a token and a one-time link, which are not kept in the clear."""
        return await self._queue.ask(LabelQueueShell.admit, labeler_id, role)

    async def intake_failures(self) -> dict[str, int]:
        """Return what the labelling API failed at since the last call, and how often."""
        return await self._queue.ask(LabelQueueShell.intake_failures)

    async def close(self) -> None:
        """Close the ledger; nothing more is taken in."""
        await self._queue.ask(LabelQueueShell.close)
