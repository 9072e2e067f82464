"""Scored rollouts waiting for the learner, and the staleness bound's second half: the door.

What is older than `max_policy_lag` versions when the learner would train on it is dropped and
counted. What was scored by an older reward than the rest of its batch is scored again, because
rewards of different versions never meet in one normalisation group. After a rollback, what the
versions left behind have written is dropped too, wherever in the pipeline it is.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from protocol.messages import PolicyVersion, Rollout, ScoredRollout


class ExperienceBuffer:
    """First in, first out; the oldest experience is trained on before it can go stale.

    Args:
        max_policy_lag: η, in versions.
        on_drop: Awaited with the number dropped, so that their slots are released.
    """

    def __init__(self, max_policy_lag: int, on_drop: Callable[[int], Awaitable[None]]) -> None:
        self._max_policy_lag = max_policy_lag
        self._on_drop = on_drop
        self._waiting: deque[ScoredRollout] = deque()
        self._arrived = asyncio.Condition()
        self._left_behind: list[range] = []
        self.num_dropped = 0
        """Rollouts refused at the door since the start."""

    def __len__(self) -> int:
        return len(self._waiting)

    async def add(self, scored: Sequence[ScoredRollout]) -> None:
        """Put scored rollouts at the end of the line."""
        async with self._arrived:
            self._waiting.extend(scored)
            self._arrived.notify_all()

    async def take(self, count: int, policy_version: int) -> list[ScoredRollout]:
        """Wait for `count` rollouts fit to train on at `policy_version`; oldest first."""
        async with self._arrived:
            while True:
                await self._drop_unfit(policy_version)
                if len(self._waiting) >= count:
                    return [self._waiting.popleft() for _ in range(count)]
                await self._arrived.wait()

    async def forget(self, restored: PolicyVersion) -> None:
        """Drop, now and from now on, what the versions that a rollback left behind have written."""
        assert restored.restored_from is not None, "only a rollback leaves versions behind"
        async with self._arrived:
            self._left_behind.append(range(restored.restored_from + 1, restored.version))
            await self._drop_unfit(restored.version)

    async def _drop_unfit(self, policy_version: int) -> None:
        fit = [s for s in self._waiting if self._is_fit(s.rollout, policy_version)]
        dropped = len(self._waiting) - len(fit)
        if dropped:
            self._waiting = deque(fit)
            self.num_dropped += dropped
            await self._on_drop(dropped)

    def _is_fit(self, rollout: Rollout, policy_version: int) -> bool:
        is_fresh = policy_version - rollout.oldest_version <= self._max_policy_lag
        wrote = rollout.policy_versions
        return is_fresh and not any(v in gone for gone in self._left_behind for v in wrote)


async def with_one_reward_version(
    scored: Sequence[ScoredRollout],
    score: Callable[[Sequence[Rollout]], Awaitable[list[ScoredRollout]]],
) -> list[ScoredRollout]:
    """Score again whatever is older than the newest reward version present.

    The service may swap once more meanwhile; then the rest is scored again too, until all agree.

    Args:
        scored: [B], of any reward versions.
        score: Scores rollouts with the live reward.

    Returns:
        [B] in the same order, all of one reward version.
    """
    result = list(scored)
    while True:
        newest = max(item.score.reward_version for item in result)
        older = [i for i, item in enumerate(result) if item.score.reward_version < newest]
        if not older:
            return result
        for i, item in zip(older, await score([result[i].rollout for i in older]), strict=True):
            result[i] = item
