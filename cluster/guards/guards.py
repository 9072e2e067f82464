"""All guards at once: what the loops ask, and the hand on the cord.

    asked after         looks
    ─────────────────   ───────────────────────────────────────────────────────────────────
    a PPO step          kl_sign, kl_runaway, score_falls, logprob_mismatch; winrate, on the votes
    a reward version    reward_turned, anchor_accuracy; winrate
    a NotFinite         not_finite
    a NothingToAsk      nothing_to_ask

A rollback is told to them: what versions left behind have shown says nothing of the one in force.

A guard that trips keeps what it saw and pulls the cord, under its own name. While that reason is
open it says nothing more; once a person has released it, it begins anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from cluster.guards import (
    anchor_accuracy,
    kl_runaway,
    kl_sign,
    logprob_mismatch,
    not_finite,
    nothing_to_ask,
    reward_turned,
    score_falls,
    winrate,
)
from cluster.guards.anchor_accuracy import AnchorScores
from cluster.guards.config import GuardsConfig
from cluster.guards.evidence import Evidence
from cluster.guards.reward_turned import TwiceScored
from cluster.guards.state import GuardsState
from cluster.guards.verdict import NUM_SAMPLES, Sample, Verdict, some_of
from label_queue.figures.known_order import KnownPair
from label_queue.sides.policy_loop import PolicyLoopSide
from learners.config import KLConfig
from protocol.errors import NotFinite, NothingToAsk, ResourceError, ScoringFailed
from protocol.fits import FitRequest, RewardVersion
from protocol.logs import logger_of
from protocol.messages import ExperienceBatch, PolicyVersion, Rollout, StepReport
from protocol.ports import Scorer

_log = logger_of("guards")

PULLER = "guard"
"""Who pulls, in the ledger."""


class Guards:
    """Asks every guard that is on, and pulls the cord where one trips.

    Args:
        config: Which are on, and their thresholds.
        kl: The penalty's, for the limit of the KL.
        labels: Whose cord is pulled, and whose labels are looked at.
        scorer: Scores anchor pairs, as it scores rollouts.
        evidence: Keeps what was seen.
        tell: Takes rows of metrics.
        anchors: Pinned pairs; too few: those that the ledger comes to hold.
        compares_scores: Whether scores of one reward version may be held against another's, and
            are all that PPO is paid for.
        num_normalised: Responses of ρ that each reward version is normalised on.
        state: Of an earlier process of the same run.
        now: The clock, Unix seconds.
    """

    def __init__(
        self,
        config: GuardsConfig,
        kl: KLConfig,
        *,
        labels: PolicyLoopSide,
        scorer: Scorer,
        evidence: Evidence,
        tell: Callable[[Mapping[str, float]], None],
        anchors: Sequence[KnownPair] = (),
        compares_scores: bool = True,
        num_normalised: int = 256,
        state: GuardsState | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.config = config
        """As it was given."""
        self.state = state or GuardsState()
        """What a checkpoint keeps, and gives back as `state`."""
        self._kl_limit = kl_runaway.limit_of(
            config.kl_runaway, kl.target, is_adaptive=kl.kind == "adaptive"
        )
        self._labels = labels
        self._scorer = scorer
        self._evidence = evidence
        self._tell = tell
        self._anchors = tuple(anchors)
        self._compares_scores = compares_scores
        self._num_normalised = num_normalised
        self._now = now
        self._moment: dict[str, float] = {"policy_version": 0.0, "episodes": 0.0}
        self._recent: tuple[Sample, ...] = ()
        """Some of the last batch's responses."""

    # ── what the loops ask ───────────────────────────────────────────────────────────────────

    async def step_done(self, batch: ExperienceBatch, report: StepReport) -> None:
        """Look at a step that was taken."""
        policy, metrics, config = report.policy, report.metrics, self.config
        self._moment = {"policy_version": policy.version, "episodes": policy.episodes}
        self._recent = some_of(batch.rollouts)
        verdicts: list[Verdict | None] = []
        if config.kl_sign.is_on:
            sign, verdict = kl_sign.judge(
                config.kl_sign, self.state.kl_sign, metrics, len(batch.rollouts)
            )
            self.state = replace(self.state, kl_sign=sign)
            verdicts.append(verdict)
        if config.kl_runaway.is_on:
            runaway, verdict = kl_runaway.judge(
                config.kl_runaway, self.state.kl_runaway, metrics, self._kl_limit
            )
            self.state = replace(self.state, kl_runaway=runaway)
            verdicts.append(verdict)
        if config.score_falls.is_on and self._compares_scores:
            falls, verdict = score_falls.judge(
                config.score_falls,
                self.state.score_falls,
                batch.rollouts,
                self._num_normalised,
            )
            self.state = replace(self.state, score_falls=falls)
            verdicts.append(verdict)
        if config.logprob_mismatch.is_on:
            mismatch, verdict = logprob_mismatch.judge(
                config.logprob_mismatch, self.state.logprob_mismatch, metrics
            )
            self.state = replace(self.state, logprob_mismatch=mismatch)
            verdicts.append(verdict)
        for verdict in verdicts:
            if verdict is not None:
                await self._trip(replace(verdict, samples=self._recent))
        await self._look_at_votes()

    def rolled_back(self, restored: PolicyVersion) -> None:
        """Forget what the versions that a rollback left behind have shown in their steps.

        Steps before the version restored are forgotten with them: fresh evidence tells as much.
        """
        assert restored.restored_from is not None, "only a rollback makes such a version"
        self._moment = {"policy_version": restored.version, "episodes": restored.episodes}
        if restored.version > restored.restored_from + 1:
            self._recent = ()
            self.state = self.state.without_steps()

    async def reward_served(
        self, version: RewardVersion, responses: Sequence[TwiceScored] = ()
    ) -> None:
        """Look at a reward version that is served now.

        Args:
            version: Its announcement.
            responses: Recent ones, scored by it and by its predecessor.
        """
        if self.config.reward_turned.is_on:
            correlation, verdict = reward_turned.judge(
                self.config.reward_turned, version.version, responses
            )
            if correlation is not None:
                row = {"reward_model/correlation_on_recent": correlation}
                self._tell({"reward_model/version": version.version, **row})
            if verdict is not None:
                await self._trip(verdict)
        if self.config.anchor_accuracy.is_on:
            await self._look_at_anchors(version)
        await self._look_at_votes()

    async def step_broken(self, error: NotFinite, batch: ExperienceBatch) -> None:
        """Pull the cord for a step that met NaN; raises the error where that guard is off."""
        await self._stop_for(error, not_finite.of_step(error, batch.rollouts, batch.step))

    async def fit_broken(self, error: NotFinite, request: FitRequest) -> None:
        """Pull the cord for a fit, or its swap, that met NaN; raises where that guard is off."""
        figures = {
            "ledger_seq": float(request.ledger_seq),
            "num_comparisons": float(len(request.comparisons)),
        }
        await self._stop_for(error, not_finite.of_fit(error, request.kind, figures))

    async def version_refused(self, error: NotFinite, version: RewardVersion) -> None:
        """Pull the cord as `fit_broken`, for what an earlier process of the run has fitted."""
        figures = {
            "ledger_seq": float(version.ledger_seq),
            "reward_version": float(version.version),
        }
        await self._stop_for(error, not_finite.of_fit(error, version.kind, figures))

    async def unscored(self, error: NotFinite, rollouts: Sequence[Rollout]) -> None:
        """Pull the cord for responses without a finite number; raises where that guard is off."""
        await self._stop_for(error, not_finite.of_scores(error, rollouts))

    async def nothing_to_ask(self, error: NothingToAsk, policy_version: int) -> None:
        """Pull the cord for orders that brought no query.

        Raises the error where that guard is off, and where nothing was trained yet: then it is the
        config that has to change.
        """
        if not (self.config.nothing_to_ask.is_on and policy_version):
            raise error
        figures = {"policy_version": float(policy_version)}
        await self._trip(nothing_to_ask.of_orders(error, figures, self._recent))

    # ── what takes asking others ─────────────────────────────────────────────────────────────

    async def _look_at_votes(self) -> None:
        if not self.config.winrate.is_on:
            return
        votes = await self._labels.validation_votes()
        state, verdict = winrate.judge(self.config.winrate, self.state.winrate, votes)
        self.state = replace(self.state, winrate=state)
        if verdict is not None:
            lost = await self._labels.lost_votes(NUM_SAMPLES // 2)
            await self._trip(replace(verdict, samples=_of_pairs(lost, "the base model's", "π's")))

    async def _look_at_anchors(self, version: RewardVersion) -> None:
        config = self.config.anchor_accuracy
        pairs = self._anchors
        if len(pairs) < config.least_pairs:
            pairs = await self._labels.known_pairs(config.num_pairs, config.least_votes)
        if len(pairs) < config.least_pairs:
            return
        tokens = [pair.better_tokens for pair in pairs] + [pair.worse_tokens for pair in pairs]
        try:
            scores = [score.value for score in await self._scorer.score(tokens)]
        except ScoringFailed as error:
            _log.warning("anchor pairs could not be scored", error=str(error))
            return
        except NotFinite as error:
            await self.unscored(error, ())
            return
        found = AnchorScores(
            version=version.version,
            labels_used=version.labels_used,
            pairs=pairs,
            better=scores[: len(pairs)],
            worse=scores[len(pairs) :],
        )
        self._tell(
            {
                "reward_model/version": version.version,
                "reward_model/anchor_accuracy": found.accuracy,
                "reward_model/anchor_pairs": len(pairs),
            }
        )
        state, verdict = anchor_accuracy.judge(config, self.state.anchor_accuracy, found)
        self.state = replace(self.state, anchor_accuracy=state)
        if verdict is not None:
            await self._trip(verdict)

    # ── the cord ─────────────────────────────────────────────────────────────────────────────

    async def _stop_for(self, error: NotFinite, verdict: Verdict) -> None:
        if not self.config.not_finite.is_on:
            raise error
        await self._trip(verdict)

    async def _trip(self, verdict: Verdict) -> None:
        """Keep what a guard saw and pull the cord, unless its reason is open already."""
        cord = await self._labels.cord()
        if any((each.actor, each.guard) == (PULLER, verdict.guard) for each in cord.reasons):
            return
        evidence = ""
        try:
            evidence = self._evidence.keep(verdict, at=self._now(), moment=self._moment)
        except ResourceError as error:  # the line is stopped all the same
            _log.warning("a guard's evidence could not be kept", error=str(error))
        _log.warning("a guard tripped", guard=verdict.guard, reason=verdict.reason)
        await self._labels.pull_cord(PULLER, verdict.reason, guard=verdict.guard, evidence=evidence)
        self.state = replace(self.state, num_trips=self.state.num_trips + 1)
        self._tell({"cord/guard_trips": self.state.num_trips})


def _of_pairs(pairs: Sequence[KnownPair], better: str, worse: str) -> tuple[Sample, ...]:
    return tuple(
        Sample(prompt=pair.prompt, response=response, note=note)
        for pair in pairs
        for response, note in ((pair.better, f"chosen: {better}"), (pair.worse, worse))
    )
