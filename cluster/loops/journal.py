"""What happened in a run: every event becomes a recording, a row of metrics, or both.

The controller tells this journal and never formats a metric itself. Gold scores are computed here,
on the reporting side, and go nowhere else: no part that trains anything can see them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from statistics import fmean

import structlog

from cluster.loops.recordings import Recordings
from cluster.loops.reward_comparison import Verdict
from cluster.loops.timekeeper import Timekeeper
from protocol.chat import as_mappings, in_one_text
from protocol.labels import CordState, RewardVersion
from protocol.messages import (
    ActorStats,
    ExperienceBatch,
    PolicyVersion,
    Rollout,
    ScoredRollout,
    StepReport,
)
from protocol.ports import MetricSink

log = structlog.get_logger(__name__)

GoldScore = Callable[[str, str], float]
"""(prompt text, response text) → the hidden score."""


class Journal(Timekeeper):
    """Takes note of a run, and keeps its time.

    Args:
        recordings: Where raw events go.
        metrics: Where rows go.
        gold: The hidden score of a response, for tasks that have one.
        now: The clock, Unix seconds.
        began_at: When the run began, from which `time/wall_s` counts; now, unless given.
    """

    def __init__(
        self,
        recordings: Recordings,
        metrics: MetricSink,
        gold: GoldScore | None = None,
        now: Callable[[], float] = time.time,
        began_at: float | None = None,
    ) -> None:
        super().__init__(recordings, now, began_at)
        self._metrics = metrics
        self._gold = gold
        self._num_unscored = 0
        self._alike: dict[str, float] = {}
        self._sampled: set[int] = set()
        self._newly_sampled: list[tuple[int, float]] = []
        self._reward_version = 0
        self._policy_version = 0
        self._at_step_begin: dict[str, float] = {}
        self._latest: dict[str, float] = {}

    # ── what happened ────────────────────────────────────────────────────────────────────────

    def reference_drawn(self, rollouts: Sequence[Rollout]) -> None:
        """ρ was sampled, before the first step."""
        for rollout in rollouts:
            self._record_rollout(rollout, step=0, episodes=0, score=None, reward_version=None)

    def rollouts_finished(self, rollouts: Sequence[Rollout]) -> None:
        """Responses came from the actors; the first of each policy version is remembered."""
        for rollout in rollouts:
            for version in set(rollout.policy_versions) - self._sampled:
                self._sampled.add(version)
                self._newly_sampled.append((version, rollout.finished_at))
                self._recordings.write(
                    "first_samples", {"version": version, "sampled_at": rollout.finished_at}
                )

    def drafted(self, rollouts: Sequence[Rollout], num_alike: int) -> None:
        """Drafts came, and so far `num_alike` responses were set aside as alike another."""
        self._alike = {"labels/redrawn": num_alike}
        self.rollouts_finished(rollouts)

    def scoring_failed(self, count: int, error: Exception) -> None:
        """No score came for `count` rollouts, of episodes or candidates; they were dropped."""
        self._num_unscored += count
        log.warning("rollouts dropped for want of a score", count=count, error=str(error))

    def step_begun(self, batch: ExperienceBatch, num_waiting: int) -> None:
        """A batch went to the learner, and `num_waiting` scored rollouts stayed behind."""
        self._at_step_begin = {
            "rollout/queue_depth": num_waiting,
            # A version's first scores may come before its swap is told.
            "staleness/reward_lag": max(0, self._reward_version - batch.reward_version),
        }

    def step_done(self, batch: ExperienceBatch, report: StepReport, num_dropped: int) -> None:
        """The learner made a version."""
        policy = report.policy
        self._policy_version = policy.version
        for scored in batch.rollouts:
            self._record_rollout(
                scored.rollout,
                step=policy.version,
                episodes=policy.episodes,
                score=scored.score.value,
                reward_version=scored.score.reward_version,
            )
        self._record_policy(policy)
        self._write(
            {
                "policy/step": policy.version,
                **report.metrics,
                **self._batch_metrics(batch.rollouts),
                "policy/version": policy.version,
                "policy/episodes": policy.episodes,
                **self._drawn(),
                **self._at_step_begin,
                "staleness/dropped": num_dropped + self._num_unscored,
            }
        )

    def policy_loaded(self, policy: PolicyVersion, probe_difference: float) -> None:
        """Every actor holds a version, and its probe agreed within `probe_difference` nats."""
        self._recordings.write(
            "loads",
            {
                "version": policy.version,
                "loaded_at": self._now(),
                "probe_difference": probe_difference,
            },
        )
        self._write({"policy/step": policy.version, "rollout/probe_mismatch_max": probe_difference})

    def reward_served(self, version: RewardVersion) -> None:
        """Every replica of the reward service serves a version."""
        self._has_reward, self._reward_version = True, version.version
        self._recordings.write("rewards", {**asdict(version), "served_at": self._now()})
        self._write(
            {
                "reward_model/version": version.version,
                **version.metrics,
                "reward_model/labels_used": version.labels_used,
                "reward_model/ledger_seq": version.ledger_seq,
                "reward_model/fit_seconds": version.fit_seconds,
            }
        )
        log.info("reward served", version=version.version, kind=version.kind)

    def rewards_compared(
        self, version: int, correlation: float | None, num_compared: int, verdict: Verdict
    ) -> None:
        """A reward fitted after an exclusion was held against the one before it."""
        compared = {"version": version, "correlation": correlation, "num_compared": num_compared}
        self._recordings.write("comparisons", {**compared, "verdict": verdict, "at": self._now()})
        if correlation is not None:
            self._write(
                {
                    "reward_model/version": version,
                    "reward_model/correlation_after_exclusion": correlation,
                }
            )
        log.info("rewards compared", **compared, verdict=verdict)
        if verdict == "alert":
            self._metrics.alert(
                "the reward moved when labels were taken back",
                f"reward version {version} correlates {correlation:.2f} with the one before it, on "
                f"{num_compared} recent responses; it was normalised anew on the base model, and "
                "training goes on",
            )

    def comparison_failed(self, error: Exception) -> None:
        """No scores came to compare rewards by."""
        log.warning("rewards could not be compared for want of scores", error=str(error))

    def rolled_back(self, policy: PolicyVersion, asked_for: int) -> None:
        """The learner went back to an older version and published it as a new one."""
        self._policy_version = policy.version
        self._record_policy(policy)
        self._write(
            {
                "policy/step": policy.version,
                "policy/version": policy.version,
                "policy/episodes": policy.episodes,
            }
        )
        text = f"policy version {policy.version} is version {policy.restored_from} again"
        if policy.restored_from != asked_for:
            text += f", the newest kept of those up to {asked_for}, which was asked for"
        self._metrics.alert("the policy was rolled back", text)

    def alarmed(self, title: str, text: str) -> None:
        """Something needs a person who is not looking."""
        self._metrics.alert(title, text)

    def cord_stood(self, cord: CordState) -> None:
        """The label queue said how the cord hangs; a change is told to people."""
        before = self._cord
        self._cord_is(cord)
        if cord.is_pulled and cord.pulled_at != before.pulled_at:
            offer = ""
            if cord.offered_rollback is not None:
                offer = f"; policy version {cord.offered_rollback} is offered for a rollback"
            self._metrics.alert(f"cord pulled by {cord.pulled_by}", f"{cord.reason}{offer}")
        elif cord.offered_rollback is not None and before.offered_rollback is None:
            self._metrics.alert(
                "a rollback is offered",
                f"the cord was pulled by {cord.pulled_by} already; the guard offers policy version "
                f"{cord.offered_rollback}",
            )
        elif before.is_pulled and not cord.is_pulled:
            self._metrics.alert("cord released", f"it was pulled by {before.pulled_by}")
        if cord.is_pulled or before.is_pulled:
            self._write(
                {
                    "cord/is_pulled": float(cord.is_pulled),
                    "cord/stopped_s": self.stopped_s,
                }
            )

    def labels_stood(self, stats: dict[str, float], online: dict[str, float]) -> None:
        """The label queue said how it stands, and how online the run is."""
        if stats:
            self._write({**stats, **self._alike})
        if online and self._policy_version:
            self._write({"policy/step": self._policy_version, **online})

    def actors_stood(self, stats: Sequence[ActorStats]) -> None:
        """The actors said what they did since they started; it counts from learning on."""
        self._look_at(stats)
        if self._actors.totals:
            self._write(
                {
                    "throughput/actor_idle": 1.0 - self._actors.busy,
                    "throughput/generation_s": self._actors.busy_s,
                    **self.pace(),
                }
            )

    def system_stood(self, figures: dict[str, float]) -> None:
        """Memory, disk and commit times of the moment."""
        self._write(figures)

    def newly_sampled(self) -> list[tuple[int, float]]:
        """Return, once each, (version, sampled at) of policy versions first sampled since."""
        fresh, self._newly_sampled = self._newly_sampled, []
        return fresh

    def summarize(self, figures: Mapping[str, object]) -> None:
        """Hand the closing figures to the metrics; what is no plain value stays in the report."""
        plain = {k: v for k, v in figures.items() if isinstance(v, int | float | str | None)}
        self._metrics.summarize(plain)

    def pace(self) -> dict[str, float]:
        """Return the throughput/* metrics the controller can see, since learning began.

        While the cord is pulled nobody is idle: the line is meant to stand.
        """
        return self._pace(episodes=self._latest.get("policy/episodes", 0.0))

    @property
    def latest(self) -> dict[str, float]:
        """The last value of every metric written, for the display."""
        return dict(self._latest)

    # ── rows ─────────────────────────────────────────────────────────────────────────────────

    def _batch_metrics(self, scored: Sequence[ScoredRollout]) -> dict[str, float]:
        row = {
            "rollout/length_mean": fmean(item.rollout.num_kept for item in scored),
            "rollout/truncated_rate": fmean(not item.rollout.is_complete for item in scored),
        }
        if self._gold is not None:
            row["reward/gold_mean"] = fmean(
                self._gold(item.rollout.prompt.text, item.rollout.text) for item in scored
            )
        return row

    def _drawn(self) -> dict[str, float]:
        """Return what the actors drew, once they were looked at since learning began."""
        if not self._actors.totals:
            return {}
        return {"rollout/tokens_per_s": self._actors.tokens_per_s}

    def _record_policy(self, policy: PolicyVersion) -> None:
        self._recordings.write(
            "policies",
            {
                "version": policy.version,
                "episodes": policy.episodes,
                "reward_version": policy.reward_version,
                "learned_through": policy.learned_through,
                "restored_from": policy.restored_from,
                "created_at": self._now(),
            },
        )

    def _record_rollout(
        self,
        rollout: Rollout,
        *,
        step: int,
        episodes: int,
        score: float | None,
        reward_version: int | None,
    ) -> None:
        self._recordings.write(
            "rollouts",
            {
                "step": step,
                "episodes": episodes,
                "rollout_id": rollout.rollout_id,
                "purpose": rollout.purpose,
                "prompt": in_one_text(rollout.prompt.text, rollout.prompt.messages),
                "messages": as_mappings(rollout.prompt.messages),
                "text": rollout.text,
                "num_kept": rollout.num_kept,
                "is_complete": rollout.is_complete,
                "score": score,
                "reward_version": reward_version,
                "oldest_version": rollout.oldest_version,
                "newest_version": rollout.newest_version,
                "actor_id": rollout.actor_id,
                "started_at": rollout.started_at,
                "finished_at": rollout.finished_at,
            },
        )

    def _write(self, row: dict[str, float]) -> None:
        # Stamped here, so that the rows' times rise in the order in which they were written.
        self._latest.update(row)
        self._metrics.write({"time/wall_s": self.wall_s, **row})
