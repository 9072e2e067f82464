"""What happened in a run: the one object that the loops tell.

Behind it are three things. Recordings keep what happened as it was (`cluster/recordings/`),
stopwatches how long it took (`timekeeper.py`), and rows of metrics what it comes to
(`metric_rows.py`). The journal hands each what it needs to know, and calls people where one is
needed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager

from cluster.loops.activity import LoopState
from cluster.loops.metric_rows import MetricRows
from cluster.loops.reward_comparison import Verdict
from cluster.loops.timekeeper import Timekeeper, Wait
from cluster.recordings.records import (
    ComparisonRecord,
    FirstSampleRecord,
    LoadRecord,
    RestartRecord,
    RewardRecord,
    RolloutRecord,
)
from cluster.recordings.streams import (
    COMPARISONS,
    FIRST_SAMPLES,
    LOADS,
    POLICIES,
    RESTARTS,
    REWARDS,
    ROLLOUTS,
    Recordings,
)
from label_queue.folds.lineage import as_provenance
from label_queue.simulated.gold.port import Gold
from protocol.cord import CordReason, CordState
from protocol.fits import FitKind, RewardVersion
from protocol.logs import logger_of
from protocol.messages import ActorStats, ExperienceBatch, PolicyVersion, Rollout, StepReport
from protocol.once import Once
from protocol.ports import MetricSink

_log = logger_of("controller")


class Journal:
    """Takes note of a run, and keeps its time. A version that is told of again is no news.

    Args:
        recordings: Where what happened goes.
        metrics: Where rows go.
        gold: The hidden score of a response, for tasks that have one.
        now: The clock, Unix seconds.
        steady: The same, as it would be had nobody set it: durations are by it; `now`, unless
            given.
        began_at: When the run began, from which `time/wall_s` counts; now, unless given.
    """

    def __init__(
        self,
        recordings: Recordings,
        metrics: MetricSink,
        gold: Gold | None = None,
        now: Callable[[], float] = time.time,
        steady: Callable[[], float] | None = None,
        began_at: float | None = None,
    ) -> None:
        self._recordings = recordings
        self._metrics = metrics
        self._now = now
        self._clocks = Timekeeper(recordings, now if steady is None else steady, began_at)
        self._rows = MetricRows(metrics, self._clocks, gold)
        self._told = Once()
        self._sampled: set[int] = set()
        self.num_restarts = len(recordings.read(RESTARTS))
        """Parts that were started again since the run first began."""
        self._newly_sampled: list[tuple[int, float]] = []

    def resume(
        self, rows: Iterable[Mapping[str, float]], num_unscored: int, *, ended_at: float
    ) -> None:
        """Go on with a run that was interrupted; the time in between counts for nothing.

        Args:
            rows: Its rows of metrics, oldest first.
            num_unscored: Rollouts that were dropped for want of a score.
            ended_at: When it was interrupted, Unix seconds, as well as that is known.
        """
        self._rows.resume(rows, num_unscored)
        self._clocks.resume(ended_at, self._rows.timed_s())
        for load in self._recordings.read(LOADS):
            self._told.add(f"loaded {load.version}")
        for policy in self._recordings.read(POLICIES):
            self._told.add(f"version {policy.version}")
        for reward in self._recordings.read(REWARDS):
            self._told.add(f"fitted {reward.version}")
            if reward.served_at is not None:
                self._told.add(f"served {reward.version}")
        for sample in self._recordings.read(FIRST_SAMPLES):
            self._sampled.add(sample.version)
            self._newly_sampled.append((sample.version, sample.sampled_at))

    @property
    def num_unscored(self) -> int:
        """Rollouts dropped for want of a score since the start."""
        return self._rows.num_unscored

    # ── how long it takes ────────────────────────────────────────────────────────────────────

    def waiting(self, what: Wait) -> AbstractContextManager[None]:
        """Time the learner waiting, e.g. for "labels"; at the cord only while that is pulled."""
        return self._clocks.waiting(what)

    def learning(self) -> AbstractContextManager[None]:
        """Time the learner at a PPO step; all figures of time count from the first one on."""
        return self._clocks.learning()

    def rolling_back(self) -> AbstractContextManager[None]:
        """Time the learner at restoring an older version."""
        return self._clocks.rolling_back()

    def fitting(self, kind: FitKind) -> AbstractContextManager[None]:
        """Time the reward trainer at a fit."""
        return self._clocks.fitting(kind)

    def timing(self, what: str) -> AbstractContextManager[None]:
        """Add the time spent inside to a named total, e.g. "weight_sync"."""
        return self._clocks.timing(what)

    def loops_ended(self) -> None:
        """The last step is done: what is waited for from here on is no idleness."""
        self._clocks.loops_ended()

    # ── what happened ────────────────────────────────────────────────────────────────────────

    def reference_drawn(self, rollouts: Sequence[Rollout]) -> None:
        """ρ was sampled, before the first step."""
        for rollout in rollouts:
            record = RolloutRecord.of(rollout, step=0, episodes=0, score=None)
            self._recordings.write(ROLLOUTS, record)

    def rollouts_finished(self, rollouts: Sequence[Rollout]) -> None:
        """Responses came from the actors; the first of each policy version is remembered."""
        for rollout in rollouts:
            for version in set(rollout.policy_versions) - self._sampled:
                self._sampled.add(version)
                self._newly_sampled.append((version, rollout.finished_at))
                record = FirstSampleRecord(version=version, sampled_at=rollout.finished_at)
                self._recordings.write(FIRST_SAMPLES, record)

    def drafted(self, rollouts: Sequence[Rollout], num_alike: int) -> None:
        """Drafts came; `num_alike` responses since the start or resume were like another."""
        self._rows.drafted(num_alike)
        self.rollouts_finished(rollouts)

    def scoring_failed(self, count: int, error: Exception) -> None:
        """No score came for `count` rollouts, of episodes or candidates; they were dropped."""
        self._rows.scoring_failed(count)
        _log.warning("rollouts dropped for want of a score", count=count, error=str(error))

    def step_begun(self, batch: ExperienceBatch, num_waiting: int) -> None:
        """A batch went to the learner, and `num_waiting` scored rollouts stayed behind."""
        self._rows.step_begun(batch, num_waiting)

    def step_done(self, batch: ExperienceBatch, report: StepReport, num_dropped: int) -> None:
        """The learner made a version."""
        if not self._told.is_first(f"version {report.policy.version}"):
            return
        policy = report.policy
        for scored in batch.rollouts:
            record = RolloutRecord.of(
                scored.rollout, step=policy.version, episodes=policy.episodes, score=scored.score
            )
            self._recordings.write(ROLLOUTS, record)
        self._recordings.write(POLICIES, as_provenance(policy, self._now()))
        self._rows.step_done(batch, report, num_dropped)

    def policy_loaded(self, policy: PolicyVersion, probe_difference: float) -> None:
        """Every actor holds a version, and its probe agreed within `probe_difference` nats."""
        if not self._told.is_first(f"loaded {policy.version}"):
            return
        record = LoadRecord(
            version=policy.version, loaded_at=self._now(), probe_difference=probe_difference
        )
        self._recordings.write(LOADS, record)
        self._rows.policy_loaded(policy.version, probe_difference)

    def refitted(self, version: RewardVersion) -> None:
        """A refit is noted; an update of it is served in its place."""
        if self._told.is_first(f"fitted {version.version}"):
            self._recordings.write(REWARDS, RewardRecord.of(version, served_at=None))
            self._rows.reward_fitted(version)

    def reward_served(self, version: RewardVersion) -> None:
        """Every replica of the reward service serves a version.

        A refit may have a row and a record already, in a run that an older version of Andon began:
        its record is written again then, with the time, and the later one counts.
        """
        self._clocks.reward_served()  # after a resume, too, by the version that was served before
        if not self._told.is_first(f"served {version.version}"):
            return
        self._recordings.write(REWARDS, RewardRecord.of(version, served_at=self._now()))
        if self._told.is_first(f"fitted {version.version}"):
            self._rows.reward_fitted(version)
        self._rows.reward_served(version.version)

    def rewards_compared(
        self, version: int, correlation: float | None, num_compared: int, verdict: Verdict
    ) -> None:
        """A reward fitted after an exclusion was compared with the one before it."""
        record = ComparisonRecord(
            version=version,
            correlation=correlation,
            num_compared=num_compared,
            verdict=verdict,
            at=self._now(),
        )
        self._recordings.write(COMPARISONS, record)
        if correlation is not None:
            self._rows.rewards_compared(version, correlation)
        _log.info(
            "rewards compared",
            version=version,
            correlation=correlation,
            num_compared=num_compared,
            verdict=verdict,
        )
        if verdict == "alert":
            self.alarmed(
                "the reward moved when labels were taken back",
                f"reward version {version} correlates {correlation:.2f} with the one before it, on "
                f"{num_compared} recent responses; it was normalised anew on the base model, and "
                "training goes on",
            )

    def comparison_failed(self, error: Exception) -> None:
        """No scores came to compare rewards by."""
        _log.warning("rewards could not be compared for want of scores", error=str(error))

    def rolled_back(self, policy: PolicyVersion, asked_for: int) -> None:
        """The learner went back to an older version and published it as a new one."""
        if not self._told.is_first(f"version {policy.version}"):
            return
        self._recordings.write(POLICIES, as_provenance(policy, self._now()))
        self._rows.rolled_back(policy)
        text = f"policy version {policy.version} is version {policy.restored_from} again"
        if policy.restored_from != asked_for:
            text += f", the newest kept of those up to {asked_for}, which was asked for"
        self.alarmed("the policy was rolled back", text)

    def resumed(self, policy: PolicyVersion) -> None:
        """The run goes on from a checkpoint; as another version where later ones were lost.

        Its version may be one that a rollback made, and of which nobody was told before it died.
        """
        is_new = self._told.is_first(f"version {policy.version}")
        if policy.restored_from is not None and is_new:
            self._recordings.write(POLICIES, as_provenance(policy, self._now()))
            self._rows.rolled_back(policy)
        _log.info("resumed", policy_version=policy.version, restored_from=policy.restored_from)

    def restarted(self, part: str, cause: Exception) -> None:
        """A part died and is started again."""
        self.num_restarts += 1
        self._recordings.write(RESTARTS, RestartRecord.of(part, cause, self._now()))
        _log.warning("part started again", part=part, error=str(cause))

    def alarmed(self, title: str, text: str) -> None:
        """Something needs a person who is not looking."""
        self._metrics.alert(title, text)

    # ── how things stand ─────────────────────────────────────────────────────────────────────

    def cord_stood(self, cord: CordState) -> None:
        """The label queue said how the cord hangs; a change is told to people."""
        before = self._clocks.cord
        self._clocks.cord_stood(cord)
        told = {each.pull_id for each in before.reasons}
        for each in cord.reasons:
            if each.pull_id not in told:
                self.alarmed(f"cord pulled by {puller(each)}", _in_words(each))
        if before.is_pulled and not cord.is_pulled:
            self.alarmed("cord released", f"it was pulled by {before.pulled_by}")
        if cord.is_pulled or before.is_pulled:
            self._rows.cord_stood(cord)

    def labels_stood(self, stats: Mapping[str, float], online: Mapping[str, float]) -> None:
        """The label queue said how it stands, and how online the run is."""
        self._rows.labels_stood(stats, online)

    def actors_stood(self, stats: Sequence[ActorStats]) -> None:
        """The actors said what they did since they started; it counts from learning on."""
        self._clocks.actors_stood(stats)
        self._rows.actors_stood()

    def guards_measured(self, row: Mapping[str, float]) -> None:
        """A guard measured something."""
        self._rows.guards_measured(row)

    def system_stood(self, figures: Mapping[str, float]) -> None:
        """Memory, disk and commit times of the moment."""
        self._rows.system_stood(figures)

    def summarize(self, figures: Mapping[str, object]) -> None:
        """Hand the closing figures to the metrics; what is no plain value stays in the report."""
        self._rows.summarize(figures)

    # ── what others may know ─────────────────────────────────────────────────────────────────

    @property
    def wall_s(self) -> float:
        """Seconds since the run began."""
        return self._clocks.wall_s

    @property
    def latest(self) -> dict[str, float]:
        """The last value of every metric written, for the display."""
        return self._rows.latest

    def loop_state(self) -> LoopState:
        """Return what the loops are doing now."""
        return self._clocks.loop_state()

    def pace(self) -> dict[str, float]:
        """Return the throughput/* metrics the controller can see, since learning began."""
        return self._rows.pace()

    def newly_sampled(self) -> list[tuple[int, float]]:
        """Return, once each, (version, sampled at) of policy versions first sampled since."""
        fresh, self._newly_sampled = self._newly_sampled, []
        return fresh


def puller(reason: CordReason) -> str:
    """Return who pulled the cord for a reason: a person, or a guard by its name."""
    return f"{reason.actor} {reason.guard}" if reason.guard else reason.actor


def _in_words(reason: CordReason) -> str:
    """Return a reason, what its guard offers, and where to see what it saw."""
    words = reason.reason
    if reason.offered_rollback is not None:
        words += f"; policy version {reason.offered_rollback} is offered for a rollback"
    return f"{words}; evidence in {reason.evidence}" if reason.evidence else words
