"""The controller's ports, answered by Ray actors: a method is a call, an error the real one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ray.exceptions import RayActorError, RayTaskError

from cluster.ranks import RankGroup
from protocol.errors import LoopEnded
from protocol.labels import FitRequest, QueryDraft, QueryOrder, RewardVersion
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
        LoopEnded: The actor's process died.
    """
    try:
        return await reference
    except RayTaskError as error:
        raise error.cause from error
    except RayActorError as error:
        raise LoopEnded(f"{who} died: {str(error).splitlines()[0]}") from error


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

    Args:
        ranks: Of `LearnerRank` actors.
    """

    def __init__(self, ranks: RankGroup) -> None:
        self._ranks = ranks

    async def step(self, batch: ExperienceBatch) -> StepReport:
        """See `protocol.ports.Learner`."""
        report: StepReport = await answer(self._ranks.call("step", batch), "the learner")
        return report

    async def save(self, path: str) -> None:
        """Write the current policy as a Hugging Face folder."""
        await answer(self._ranks.call("save", path), "the learner")


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

    async def close(self) -> None:
        """Close the ledger; nothing more is taken in."""
        await self._ask("close")

    async def _ask(self, method: str, *args: object) -> Any:
        return await answer(getattr(self._handle, method).remote(*args), "the label queue")
