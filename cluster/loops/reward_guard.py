"""How a reward version comes to be served and is held against the one before it.

A refit that an exclusion forced is judged here, before another step is taken; what other versions
say of the same responses goes to the guards, while training goes on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from cluster.guards.guards import PULLER, Guards
from cluster.guards.reward_turned import TwiceScored
from cluster.loops.journal import Journal
from cluster.loops.reward_comparison import judge, pearson_correlation
from cluster.loops.scoring import scored_sequence
from label_queue.sides.policy_loop import PolicyLoopSide
from protocol.errors import NotFinite, ScoringFailed, SwapTimedOut
from protocol.fits import FitRequest, RewardVersion
from protocol.messages import Rollout, Score, ScoredRollout
from protocol.ports import Learner, RewardService

FORCED_REFIT = "forced_refit"
"""The name under which it pulls the cord."""
NUM_COMPARED = 256
"""How many of the newest sequences a forced refit and the reward before it are compared on."""
NUM_LOOKED_AT = 128
"""How many for any other version, whose comparison nobody waits for. The newest: so those that wait
for the learner have the new reward's scores, where they are no more."""
LEAST_COMPARED = 16
"""Sequences below which a correlation says nothing; the policy has hardly been trained then."""


class RewardGuard:
    """Swaps reward versions in; stops the line where a forced refit turns the reward around.

    Args:
        service: Serves the old version until it is asked to swap.
        labels: Whose cord is pulled.
        learner: Whose checkpoints are offered.
        journal: Takes note.
        guards: Look at every other version.
        rescored: Takes recent responses with the scores of a version that came since they had
            theirs.
    """

    def __init__(
        self,
        service: RewardService,
        labels: PolicyLoopSide,
        learner: Learner,
        journal: Journal,
        guards: Guards,
        rescored: Callable[[Sequence[ScoredRollout]], None],
    ) -> None:
        self._rescored = rescored
        self._service = service
        self._labels = labels
        self._learner = learner
        self._journal = journal
        self._guards = guards
        self._recent: deque[ScoredRollout] = deque(maxlen=NUM_COMPARED)
        self._version = 0
        """The newest that every replica serves; 0 before the first."""
        self._offered = 0
        """The one that is swapped in, or else the newest."""
        self._served: set[int] = set()
        """Versions that every replica served, since the run was resumed."""
        self._is_swapped = asyncio.Event()
        """Set while no version is swapped in."""
        self._is_settled = asyncio.Event()
        self._is_settled.set()
        self.least_version = 0
        """Reward version of the last forced or sole refit, or that a resumed run began with:
        nothing that an older one scored may be trained on."""
        self.num_forced = 0
        """Forced refits whose swap has begun so far."""

    def resumed(self, version: RewardVersion) -> None:
        """Go on from a version that every replica of a resumed run serves.

        The checkpoint does not say whether it, or one before it that came since, was a forced or
        sole refit: so whatever an older one scored is scored again.
        """
        self._version = self.least_version = version.version
        self._served.add(version.version)

    async def is_served(self, version: int) -> bool:
        """Whether every replica serves a version, or served it; waits while it is swapped in.

        One replica may have scored by a version that another refused, also before a resume. Of
        versions from before a resume only the one that it began with counts: see `resumed`.
        """
        while self._version < version == self._offered:
            await self._is_swapped.wait()
        return version in self._served

    async def take_up(self, version: RewardVersion) -> None:
        """Swap in a version that a resumed run had made before; see `resumed`, and `serve`."""
        await self._swap(version)
        self.resumed(version)
        await self._guards.reward_served(version)

    def remember(self, scored: Sequence[ScoredRollout]) -> None:
        """Keep the newest whole responses, to compare rewards on."""
        self._recent.extend(each for each in scored if each.rollout.is_complete)

    def forget(self, is_left_behind: Callable[[Rollout], bool]) -> None:
        """Compare rewards no more on what versions have written that a rollback left behind.

        The policy in force writes otherwise, and it is its responses that are to be scored.
        """
        kept = [each for each in self._recent if not is_left_behind(each.rollout)]
        self._recent = deque(kept, maxlen=NUM_COMPARED)

    async def settled(self) -> int:
        """Wait while a forced refit is swapped in and not yet judged; return `num_forced`.

        Whoever then waits for something else compares it again: another may have begun meanwhile.
        """
        while not self._is_settled.is_set():
            await self._is_settled.wait()  # cleared again, it may be, before this wakes
        return self.num_forced

    async def serve(
        self,
        version: RewardVersion,
        request: FitRequest,
        tell: Callable[[RewardVersion], Awaitable[None]],
    ) -> None:
        """Swap a version in and tell of it; judge a forced refit before another step is taken.

        Any other version is told of first: what it says of recent responses is held against the
        one before it while the next is made.

        Raises NotFinite where a replica will not take it, and the version before it stays.
        """
        if request.is_forced:
            self._is_settled.clear()
            self.num_forced += 1
            try:
                await self._serve_forced(version, request)
            finally:
                self._is_settled.set()
            await tell(version)
            await self._guards.reward_served(version)
            return
        recent = self._looked_at()
        before = await self._scores_before(recent)
        await self._swap(version)
        if request.is_sole:
            self.least_version = version.version
        await tell(version)
        after = await self._scores(_rollouts(recent)) if before else []
        self._rescored(
            [replace(each, score=new) for each, new in zip(recent, after, strict=bool(after))]
        )
        responses = [
            TwiceScored(
                prompt=each.rollout.prompt.text,
                response=each.rollout.text,
                before=old.value,
                after=new.value,
            )
            for each, old, new in zip(recent, before, after, strict=bool(before and after))
        ]
        await self._guards.reward_served(version, responses)

    def _looked_at(self) -> list[ScoredRollout]:
        """Return what two versions are compared on; none where that would say nothing.

        What the live version scored in any case, where that is enough.
        """
        config = self._guards.config.reward_turned
        if not config.is_on or len(self._recent) < config.least_responses:
            return []
        own = [each for each in self._recent if each.score.reward_version == self._version]
        if len(own) >= config.least_responses:
            return own[-max(NUM_LOOKED_AT, config.least_responses) :]
        return list(self._recent)[-config.least_responses :]

    async def _serve_forced(self, version: RewardVersion, request: FitRequest) -> None:
        recent = list(self._recent)
        has_enough = len(recent) >= LEAST_COMPARED
        before = await self._scores_before(recent) if has_enough else []
        await self._swap(version)
        self.least_version = version.version
        if has_enough:
            after = await self._scores(_rollouts(recent))
            await self._judge(version, request, _values(before), _values(after))

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
            PULLER,
            f"reward version {version.version}, fitted without labels taken back, {found} the one "
            f"the policy was trained on{told}",
            offered,
            guard=FORCED_REFIT,
        )

    async def _last_clean(self, contaminated_from: int | None) -> int | None:
        """Return the newest checkpoint of before a contaminated version; None if none was."""
        if contaminated_from is None:
            return None
        versions = await self._learner.checkpoints()
        return max((v for v in versions if v < contaminated_from), default=None)

    async def _scores_before(self, recent: Sequence[ScoredRollout]) -> list[Score]:
        """Return the live reward's scores: most rollouts have one; none where others get none."""
        unscored = [each for each in recent if each.score.reward_version != self._version]
        found = await self._scores(_rollouts(unscored)) if unscored else []
        if len(found) < len(unscored):
            return []
        others = iter(found)
        return [
            each.score if each.score.reward_version == self._version else next(others)
            for each in recent
        ]

    async def _scores(self, rollouts: Sequence[Rollout]) -> list[Score]:
        """Score with the live reward; none where no score can be had."""
        try:
            return await self._service.score([scored_sequence(each) for each in rollouts])
        except ScoringFailed as error:
            self._journal.comparison_failed(error)
        except NotFinite as error:
            await self._guards.unscored(error, rollouts)
        return []

    async def _swap(self, version: RewardVersion) -> None:
        """Swap a version in; where replicas are late, the announcement stands and is waited for."""
        self._offered = version.version
        self._is_swapped.clear()
        try:
            await self._swap_patiently(version)
            self._version = version.version
            self._served.add(version.version)
        finally:
            self._offered = self._version
            self._is_swapped.set()

    async def _swap_patiently(self, version: RewardVersion) -> None:
        try:
            await self._service.swap(version)
        except SwapTimedOut:
            await self._service.swap(version)


def _rollouts(scored: Sequence[ScoredRollout]) -> list[Rollout]:
    return [each.rollout for each in scored]


def _values(scores: Sequence[Score]) -> list[float]:
    return [score.value for score in scores]
