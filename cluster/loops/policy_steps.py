"""Every change of the policy version: a step, a rollback, and what a NaN takes back.

One change at a time, under `under_way`. A new version is kept, where that is due, before anybody
hears of it: so what was announced and is not on disk is at most the work since the last checkpoint.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from cluster.guards.guards import Guards
from cluster.loops.journal import Journal
from cluster.loops.parts import Parts
from cluster.loops.reward_guard import RewardGuard
from cluster.loops.staleness import StalenessBound
from protocol.errors import NotFinite
from protocol.messages import ExperienceBatch, PolicyVersion, ScoredRollout


class PolicySteps:
    """The learner between the line of scored rollouts and the cord.

    Args:
        parts: The started parts.
        journal: Takes note.
        policy: The version at which the learner stands.
        bound: Knows each rollout's state.
        reward_guard: Judges forced refits before a step is taken on them.
        guards: Look at every step.
        keep: Writes a checkpoint of the run at the present version.
        is_due: Whether a version is one of those kept.
    """

    def __init__(
        self,
        parts: Parts,
        journal: Journal,
        policy: PolicyVersion,
        *,
        bound: StalenessBound,
        reward_guard: RewardGuard,
        guards: Guards,
        keep: Callable[[], Awaitable[None]],
        is_due: Callable[[int], bool],
    ) -> None:
        self._parts = parts
        self._journal = journal
        self._bound = bound
        self._reward_guard = reward_guard
        self._guards = guards
        self._keep = keep
        self._is_due = is_due
        self.policy = policy
        """The newest version."""
        self.is_newer = asyncio.Event()
        """Set when there is a version that the actors were not told of."""
        self.under_way = asyncio.Lock()
        """Held while a version is made, until it is told."""
        self.ledger_seq_of_reward: dict[int, int] = {}
        """Sequence number up to which each reward version learned the ledger."""

    async def pass_cord(self) -> bool:
        """Wait while the cord is pulled, doing the rollbacks ordered; return whether one was."""
        was_rolled_back = False
        while True:
            with self._journal.waiting("reward"):
                num_judged = await self._reward_guard.settled()
            with self._journal.waiting("cord"):
                version = await self._parts.labels.pass_cord()
            if version is not None:
                async with self.under_way:
                    with self._journal.rolling_back():
                        await self._parts.labels.rolled_back(await self._restore(version))
                was_rolled_back = True
            elif self._reward_guard.num_forced == num_judged:
                return was_rolled_back
            # Else a forced refit began meanwhile: the reward of this batch may be condemned.

    async def step(self, scored: Sequence[ScoredRollout]) -> None:
        """Take a PPO step on a batch of one reward version; on NaN, stop the line and go back."""
        async with self.under_way:
            batch = self._batch(scored)
            self._journal.step_begun(batch, self._bound.num_waiting)
            try:
                with self._journal.learning():
                    report = await self._parts.learner.step(batch)
            except NotFinite as error:
                await self._break_off(batch, error)
                return
            self._bound.trained(batch.rollouts)
            self.policy = report.policy
            is_due = self._is_due(self.policy.version)
            if not is_due:
                await self._announce()  # so that the actors have it while the guards look
            self._journal.step_done(batch, report, self._bound.num_refused)
            await self._guards.step_done(batch, report)
            if is_due:
                await self._keep()
                await self._announce()

    async def _break_off(self, batch: ExperienceBatch, error: NotFinite) -> None:
        """Stop the line where a step met NaN, drop its batch, and mend the learner at once.

        From a checkpoint: a copy in memory would cost as much again at every step, to save the few
        steps since, and what is on disk has been proved to restore bit for bit.
        """
        await self._guards.step_broken(error, batch)
        self._bound.drop([each.rollout for each in batch.rollouts])
        with self._journal.rolling_back():
            await self._restore(batch.step)

    async def _restore(self, version: int) -> PolicyVersion:
        """Restore a policy version, or the newest checkpoint behind it; drop what came after."""
        restored = self._nearest(version, await self._parts.learner.checkpoints())
        policy = await self._parts.learner.restore(restored, step=self.policy.version)
        self._bound.roll_back(policy)
        self._reward_guard.forget(self._bound.is_left_behind)
        self._guards.rolled_back(policy)
        self.policy = policy
        await self._keep()  # or a resume would go on from what was left behind
        await self._announce()
        self._journal.rolled_back(policy, asked_for=version)
        return policy

    def _nearest(self, version: int, kept: Sequence[int]) -> int:
        """Return the newest kept version that `version` was made of, or itself.

        Of versions left behind there may be checkpoints too, of another line than what came after.
        """
        if self._bound.are_left_behind([version]):
            return max(v for v in kept if v <= version)  # whoever orders this wants that line
        return max(v for v in kept if v <= version and not self._bound.are_left_behind([v]))

    async def _announce(self) -> None:
        """Tell of a new version: the ledger, the run's clock, and soon the actors."""
        await self._parts.labels.set_progress(self.policy.episodes, self.policy)
        self.is_newer.set()

    def _batch(self, scored: Sequence[ScoredRollout]) -> ExperienceBatch:
        reward_version = scored[0].score.reward_version
        return ExperienceBatch(
            step=self.policy.version,
            rollouts=tuple(scored),
            episodes_before=self.policy.episodes,
            reward_version=reward_version,
            learned_through=self.ledger_seq_of_reward[reward_version],
        )
