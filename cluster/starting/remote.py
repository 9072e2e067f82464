"""The controller's ports, answered by Ray actors: a method is a call, an error the real one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from ray.exceptions import RayActorError, RayTaskError

from cluster.starting.ranks import RankGroup
from label_queue.intake.owner_schemas import Admission
from label_queue.ledger.records import Role
from protocol.errors import ActorDied
from protocol.labels import CordState, FitRequest, QueryDraft, QueryOrder, RewardVersion
from protocol.messages import (
    ActorStats,
    ExperienceBatch,
    PolicyVersion,
    Rollout,
    RolloutRequest,
    StepReport,
)


async def answer(reference: Any, who: str) -> Any:
    """Await a remote answer; raise what the actor raised, not Ray's wrapping of it.

    Raises:
        ActorDied: The actor's process died.
    """
    try:
        return await reference
    except RayTaskError as error:
        raise error.cause from error
    except RayActorError as error:
        raise ActorDied(f"{who} died: {str(error).splitlines()[0]}") from error


class RemoteActor:
    """A rollout actor.

    Args:
        handle: Of a `RolloutActorShell`.
        actor_id: For errors.
    """

    def __init__(self, handle: Any, actor_id: str) -> None:
        self._handle = handle
        self._who = f"rollout actor {actor_id}"

    async def start(self) -> None:
        """Start its engine."""
        await answer(self._handle.start.remote(), self._who)

    async def generate(self, requests: Sequence[RolloutRequest]) -> list[Rollout]:
        """See `protocol.ports.RolloutActor`."""
        rollouts: list[Rollout] = await answer(self._handle.generate.remote(requests), self._who)
        return rollouts

    async def load_policy(self, policy: PolicyVersion) -> float:
        """See `protocol.ports.RolloutActor`."""
        difference: float = await answer(self._handle.load_policy.remote(policy), self._who)
        return difference

    async def stats(self) -> ActorStats:
        """Return what it did so far."""
        stats: ActorStats = await answer(self._handle.stats.remote(), self._who)
        return stats

    async def stop(self) -> None:
        """End its engine."""
        await answer(self._handle.stop.remote(), self._who)


class RemoteLearner:
    """The learner's ranks as one.

    They take one call at a time. So calls wait here for their turn, and the actors are not made to
    wait, in a collective, for a learner that is still at its step.

    Args:
        ranks: Of `LearnerRank` actors.
    """

    def __init__(self, ranks: RankGroup) -> None:
        self._ranks = ranks
        self._turn = asyncio.Lock()

    async def step(self, batch: ExperienceBatch) -> StepReport:
        """See `protocol.ports.Learner`."""
        report: StepReport = await self._ask("step", batch)
        return report

    async def checkpoints(self) -> tuple[int, ...]:
        """See `protocol.ports.Learner`."""
        versions: tuple[int, ...] = await self._ask("checkpoints")
        return versions

    async def restore(self, version: int) -> PolicyVersion:
        """See `protocol.ports.Learner`."""
        policy: PolicyVersion = await self._ask("restore", version)
        return policy

    async def push(self, version: int, receive: Callable[[], Awaitable[float]]) -> float:
        """See `protocol.ports.WeightPusher`."""
        async with self._turn, asyncio.TaskGroup() as both:
            both.create_task(self._answer("send", version))
            return await receive()

    async def save(self, path: str) -> None:
        """Write the current policy as a Hugging Face folder."""
        await self._ask("save", path)

    async def _ask(self, method: str, *args: object) -> Any:
        async with self._turn:
            return await self._answer(method, *args)

    async def _answer(self, method: str, *args: object) -> Any:
        return await answer(self._ranks.call(method, *args), "the learner")


class RemoteRewardTrainer:
    """The reward trainer's ranks as one.

    Args:
        ranks: Of `RewardTrainerRank` actors.
    """

    def __init__(self, ranks: RankGroup) -> None:
        self._ranks = ranks

    async def fit(self, request: FitRequest) -> RewardVersion:
        """See `protocol.ports.RewardTrainer`."""
        version: RewardVersion = await answer(self._ranks.call("fit", request), "reward trainer")
        return version


class RemoteLabelQueue:
    """The label queue.

    Args:
        handle: Of a `LabelQueueShell`.
    """

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    async def add_reference(self, rollouts: Sequence[Rollout]) -> None:
        """See `protocol.ports.LabelQueue`."""
        await self._ask("add_reference", rollouts)

    async def next_orders(self, timeout_s: float) -> list[QueryOrder]:
        """See `protocol.ports.LabelQueue`."""
        orders: list[QueryOrder] = await self._ask("next_orders", timeout_s)
        return orders

    async def offer(self, order_id: str, drafts: Sequence[QueryDraft]) -> int:
        """See `protocol.ports.LabelQueue`."""
        made: int = await self._ask("offer", order_id, drafts)
        return made

    async def set_progress(self, episodes: int, policy: PolicyVersion) -> None:
        """See `protocol.ports.LabelQueue`."""
        await self._ask("set_progress", episodes, policy)

    async def wait_until_allowed(self, episodes: int) -> float:
        """See `protocol.ports.LabelQueue`."""
        waited_s: float = await self._ask("wait_until_allowed", episodes)
        return waited_s

    async def next_fit(self) -> FitRequest:
        """See `protocol.ports.LabelQueue`."""
        request: FitRequest = await self._ask("next_fit")
        return request

    async def learned(self, version: RewardVersion) -> None:
        """See `protocol.ports.LabelQueue`."""
        await self._ask("learned", version)

    async def pass_cord(self) -> int | None:
        """See `protocol.ports.LabelQueue`."""
        version: int | None = await self._ask("pass_cord")
        return version

    async def pull_cord(self, actor: str, reason: str, offered_rollback: int | None = None) -> None:
        """See `protocol.ports.LabelQueue`."""
        await self._ask("pull_cord", actor, reason, offered_rollback)

    async def rolled_back(self, policy: PolicyVersion) -> None:
        """See `protocol.ports.LabelQueue`."""
        await self._ask("rolled_back", policy)

    async def cord(self) -> CordState:
        """See `protocol.ports.LabelQueue`."""
        state: CordState = await self._ask("cord")
        return state

    async def stats(self) -> dict[str, float]:
        """See `protocol.ports.LabelQueue`."""
        stats: dict[str, float] = await self._ask("stats")
        return stats

    async def online_stats(self) -> dict[str, float]:
        """Return the online/* metrics and the win rate of the moment."""
        stats: dict[str, float] = await self._ask("online_stats")
        return stats

    async def reached_policy(self, learned_through: int, at: float) -> None:
        """Tell when a policy that learned so much was first sampled."""
        await self._ask("reached_policy", learned_through, at)

    async def ledger_commit_p95_s(self) -> float:
        """Return the 95th percentile of the ledger's recent commits, seconds."""
        seconds: float = await self._ask("ledger_commit_p95_s")
        return seconds

    async def add_labeler(self, name: str) -> str:
        """Admit a labeler; return their token, which is not kept in the clear."""
        token: str = await self._ask("add_labeler", name)
        return token

    async def admit(self, labeler_id: str, role: Role) -> Admission:
        """Admit somebody; return a token and a one-time link, which are not kept in the clear."""
        admission: Admission = await self._ask("admit", labeler_id, role)
        return admission

    async def close(self) -> None:
        """Close the ledger; nothing more is taken in."""
        await self._ask("close")

    async def _ask(self, method: str, *args: object) -> Any:
        return await answer(getattr(self._handle, method).remote(*args), "the label queue")
