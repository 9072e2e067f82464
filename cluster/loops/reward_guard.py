"""How a reward version comes to be served, and the guard over those fitted after an exclusion."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from cluster.loops.journal import Journal
from cluster.loops.reward_comparison import judge, pearson_correlation
from cluster.loops.scoring import scored_sequence
from label_queue.sides.policy_loop import PolicyLoopSide
from protocol.errors import ScoringFailed, SwapTimedOut
from protocol.labels import FitRequest, RewardVersion
from protocol.messages import ScoredRollout
from protocol.ports import Learner, RewardService

NUM_COMPARED = 256
"""How many of the newest sequences old and new rewards are compared on."""
LEAST_COMPARED = 16
"""Sequences below which a correlation says nothing; the policy has hardly been trained then."""


class RewardGuard:
    """Swaps reward versions in; stops the line where a forced refit turns the reward around.

    Args:
        service: Serves the old version until it is asked to swap.
        labels: Whose cord is pulled.
        learner: Whose checkpoints are offered.
        journal: Takes note.
    """

    def __init__(
        self, service: RewardService, labels: PolicyLoopSide, learner: Learner, journal: Journal
    ) -> None:
        self._service = service
        self._labels = labels
        self._learner = learner
        self._journal = journal
        self._recent: deque[tuple[int, ...]] = deque(maxlen=NUM_COMPARED)
        self._is_settled = asyncio.Event()
        self._is_settled.set()
        self.least_version = 0
        """Reward version of the last forced or sole refit: nothing that an older one scored may be
        trained on."""
        self.num_forced = 0
        """Forced refits whose swap has begun so far."""

    def remember(self, scored: Sequence[ScoredRollout]) -> None:
        """Keep the newest whole responses, to compare rewards on."""
        whole = (each.rollout for each in scored if each.rollout.is_complete)
        self._recent.extend(scored_sequence(rollout) for rollout in whole)

    async def settled(self) -> int:
        """Wait while a forced refit is swapped in and not yet judged; return `num_forced`.

        Whoever then waits for something else compares it again: another may have begun meanwhile.
        """
        while not self._is_settled.is_set():
            await self._is_settled.wait()  # cleared again, it may be, before this wakes
        return self.num_forced

    async def serve(self, version: RewardVersion, request: FitRequest) -> None:
        """Swap a version in; of a forced refit, judge it before another step is taken."""
        if not request.is_forced:
            await self._swap(version)
            if request.is_sole:
                self.least_version = version.version
            return
        self._is_settled.clear()
        self.num_forced += 1
        sequences = list(self._recent)
        has_enough = len(sequences) >= LEAST_COMPARED
        before = await self._scores(sequences) if has_enough else []
        await self._swap(version)
        self.least_version = version.version
        if has_enough:
            await self._judge(version, request, before, await self._scores(sequences))
        self._is_settled.set()

    async def _judge(
        self,
        version: RewardVersion,
        request: FitRequest,
        before: Sequence[float],
        after: Sequence[float],
    ) -> None:
        """Compare the scores under the old and the new reward; empty where none could be had."""
        correlation = None
        if before and after:
            correlation = pearson_correlation(before, after)
        verdict = judge(correlation)
        self._journal.rewards_compared(version.version, correlation, len(after), verdict)
        if verdict != "pull":
            return
        offered = await self._last_clean(request.contaminated_from)
        found = "could not be compared with" if correlation is None else "differs much from"
        told = "" if correlation is None else f" (correlation {correlation:.2f})"
        await self._labels.pull_cord(
            "guard",
            f"reward version {version.version}, fitted without labels taken back, {found} the one "
            f"the policy was trained on{told}",
            offered,
        )

    async def _last_clean(self, contaminated_from: int | None) -> int | None:
        """Return the newest checkpoint of before a contaminated version; None if none was."""
        if contaminated_from is None:
            return None
        versions = await self._learner.checkpoints()
        return max((v for v in versions if v < contaminated_from), default=None)

    async def _scores(self, sequences: Sequence[tuple[int, ...]]) -> list[float]:
        """Score with the live reward; none where no score can be had."""
        try:
            return [score.value for score in await self._service.score(sequences)]
        except ScoringFailed as error:
            self._journal.comparison_failed(error)
            return []

    async def _swap(self, version: RewardVersion) -> None:
        """Swap a version in; where replicas are late, the announcement stands and is waited for."""
        try:
            await self._service.swap(version)
        except SwapTimedOut:
            await self._service.swap(version)
