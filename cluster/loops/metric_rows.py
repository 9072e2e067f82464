"""The rows of metrics that the driver writes, each made of one thing that happened.

Gold scores are computed here, on the reporting side, and go nowhere else: no part that trains
anything can see them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from cluster.loops.timekeeper import Timekeeper
from label_queue.simulated.gold.port import Gold
from protocol.chat import in_one_text
from protocol.cord import CordState
from protocol.fits import RewardVersion
from protocol.messages import ExperienceBatch, PolicyVersion, ScoredRollout, StepReport
from protocol.ports import MetricSink

Row = dict[str, float]
HIGHEST = 3
"""Nodes of long texts that stand this high, or higher, are one in metrics."""


class MetricRows:
    """Makes the rows and hands them on.

    Args:
        metrics: Where rows go.
        clocks: What figures of time are read from.
        gold: The hidden score of a response, for tasks that have one.
    """

    def __init__(self, metrics: MetricSink, clocks: Timekeeper, gold: Gold | None) -> None:
        self._metrics = metrics
        self._clocks = clocks
        self._gold = gold
        self._num_unscored = 0
        self._num_alike_before = 0.0
        self._alike: Row = {}
        self._reward_version = 0
        self._policy_version = 0
        self._at_step_begin: Row = {}
        self._latest: Row = {}

    @property
    def latest(self) -> Row:
        """The last value of every metric written."""
        return dict(self._latest)

    @property
    def num_unscored(self) -> int:
        """Rollouts dropped for want of a score since the start."""
        return self._num_unscored

    def resume(self, rows: Iterable[Mapping[str, float]], num_unscored: int) -> None:
        """Go on after the rows that were written before, oldest first."""
        for row in rows:
            self._latest.update(row)
        self._num_unscored = num_unscored
        if "labels/redrawn" in self._latest:
            self._num_alike_before = self._latest["labels/redrawn"]
            self.drafted(0)
        self._reward_version = int(self._latest.get("reward_model/version", 0))
        self._policy_version = int(self._latest.get("policy/version", 0))

    def timed_s(self) -> dict[str, float]:
        """Return what `Timekeeper.timing` kept, as last written, seconds: no recording has it."""
        return {"weight_sync": self._latest.get("throughput/weight_sync_s", 0.0)}

    def drafted(self, num_alike: int) -> None:
        """Since the start or resume `num_alike` responses were set aside as like another."""
        self._alike = {"labels/redrawn": self._num_alike_before + num_alike}

    def scoring_failed(self, count: int) -> None:
        """No score came for `count` rollouts, of episodes or candidates; they were dropped."""
        self._num_unscored += count

    def step_begun(self, batch: ExperienceBatch, num_waiting: int) -> None:
        """A batch went to the learner, and `num_waiting` scored rollouts stayed behind."""
        self._at_step_begin = {
            "rollout/queue_depth": num_waiting,
            # A version's first scores may come before its swap is told.
            "staleness/reward_lag": max(0, self._reward_version - batch.reward_version),
        }

    def step_done(self, batch: ExperienceBatch, report: StepReport, num_dropped: int) -> None:
        """The learner made a version."""
        self._policy_version = report.policy.version
        self._write(
            joined(
                {"policy/step": report.policy.version},
                report.metrics,
                self._of_batch(batch.rollouts),
                _of_version(report.policy),
                self._drawn(),
                self._at_step_begin,
                {"staleness/dropped": num_dropped + self._num_unscored},
            )
        )

    def policy_loaded(self, version: int, probe_difference: float) -> None:
        """Every actor holds a version, and its probe agreed within `probe_difference` nats."""
        self._write({"policy/step": version, "rollout/probe_mismatch_max": probe_difference})

    def reward_served(self, version: int) -> None:
        """Every replica of the reward service serves a version, which has its row."""
        self._reward_version = version

    def reward_fitted(self, version: RewardVersion) -> None:
        """A version is made, served or not."""
        self._write(
            joined(
                {"reward_model/version": version.version},
                version.metrics,
                {
                    "reward_model/labels_used": version.labels_used,
                    "reward_model/ledger_seq": version.ledger_seq,
                    "reward_model/fit_seconds": version.fit_seconds,
                },
            )
        )

    def rewards_compared(self, version: int, correlation: float) -> None:
        """A reward fitted after an exclusion was compared with the one before it."""
        self._write(
            {
                "reward_model/version": version,
                "reward_model/correlation_after_exclusion": correlation,
            }
        )

    def rolled_back(self, policy: PolicyVersion) -> None:
        """The learner went back to an older version and published it as a new one."""
        self._policy_version = policy.version
        self._write({"policy/step": policy.version, **_of_version(policy)})

    def cord_stood(self, cord: CordState) -> None:
        """The cord hangs so; it is pulled, or was until now."""
        self._write(
            {
                "cord/is_pulled": float(cord.is_pulled),
                "cord/stopped_s": self._clocks.stopped_s,
            }
        )

    def labels_stood(self, stats: Mapping[str, float], online: Mapping[str, float]) -> None:
        """The label queue said how it stands, and how online the run is."""
        if stats:
            self._write({**stats, **self._alike})
        if online and self._policy_version:
            self._write({"policy/step": self._policy_version, **online})

    def actors_stood(self) -> None:
        """The actors were looked at; it counts from learning on."""
        actors = self._clocks.actors
        if actors.totals:
            self._write(
                {
                    "throughput/actor_idle": 1.0 - actors.busy,
                    "throughput/generation_s": actors.busy_s,
                    **self.pace(),
                }
            )

    def guards_measured(self, row: Mapping[str, float]) -> None:
        """A guard measured something."""
        self._write(row)

    def system_stood(self, figures: Mapping[str, float]) -> None:
        """Memory, disk and commit times of the moment."""
        self._write(figures)

    def summarize(self, figures: Mapping[str, object]) -> None:
        """Hand on the closing figures; what is no plain value stays in the report."""
        plain = {k: v for k, v in figures.items() if isinstance(v, int | float | str | None)}
        self._metrics.summarize(plain)

    def pace(self) -> Row:
        """Return the throughput/* metrics of the learner's side; none before the first step.

        While the cord is pulled nobody is idle: the line is meant to stand.
        """
        learner, until = self._clocks.learner, self._clocks.until
        if learner.since is None:
            return {}
        episodes = self._latest.get("policy/episodes", 0.0)
        return {
            "throughput/episodes_per_s": episodes / learner.running_s(until),
            "throughput/learner_idle": 1.0 - learner.busy(until),
            "throughput/training_s": learner.seconds("step", until=until),
            "throughput/scoring_s": learner.seconds("scores", until=until),
            "throughput/weight_sync_s": self._clocks.total_s("weight_sync"),
        }

    def _of_batch(self, scored: Sequence[ScoredRollout]) -> Row:
        row = {
            "rollout/length_mean": fmean(item.rollout.num_kept for item in scored),
            "rollout/truncated_rate": fmean(not item.rollout.is_complete for item in scored),
        }
        golds = [] if self._gold is None else [_gold_of(self._gold, item) for item in scored]
        if golds:
            row["reward/gold_mean"] = fmean(golds)
        return row | _by_height(scored, golds)

    def _drawn(self) -> Row:
        """Return what the actors drew, once they were looked at since learning began."""
        actors = self._clocks.actors
        return {"rollout/tokens_per_s": actors.tokens_per_s} if actors.totals else {}

    def _write(self, row: Mapping[str, float]) -> None:
        # Stamped here, so that the rows' times rise in the order in which they were written.
        self._latest.update(row)
        self._metrics.write({"time/wall_s": self._clocks.wall_s, **row})


def _gold_of(gold: Gold, item: ScoredRollout) -> float:
    prompt = item.rollout.prompt
    return gold.score(in_one_text(prompt.text, prompt.messages), item.rollout.text)


def _by_height(scored: Sequence[ScoredRollout], golds: Sequence[float]) -> Row:
    """Return mean scores, and mean hidden scores if there are any, by their nodes' heights."""
    nodes = [item.rollout.prompt.node for item in scored]
    heights = [None if node is None else min(node.height, HIGHEST) for node in nodes]
    scores = [item.score.value for item in scored]

    def mean(values: Sequence[float], height: int) -> float | None:
        those = [x for x, other in zip(values, heights, strict=False) if other == height]
        return fmean(those) if those else None

    found = {
        "reward/score_mean_height_0": mean(scores, 0),
        "reward/score_mean_height_1": mean(scores, 1),
        "reward/score_mean_height_2": mean(scores, 2),
        "reward/score_mean_height_3": mean(scores, HIGHEST),
        "reward/gold_mean_height_0": mean(golds, 0),
        "reward/gold_mean_height_1": mean(golds, 1),
        "reward/gold_mean_height_2": mean(golds, 2),
        "reward/gold_mean_height_3": mean(golds, HIGHEST),
    }
    return {name: value for name, value in found.items() if value is not None}


def _of_version(policy: PolicyVersion) -> Row:
    return {"policy/version": policy.version, "policy/episodes": policy.episodes}


def joined(*parts: Mapping[str, float]) -> Row:
    """Return one row of several, which may say the same thing twice but never two things."""
    row: Row = {}
    for part in parts:
        for name, value in part.items():
            assert row.setdefault(name, value) == value, f"{name}: {row[name]} and {value}"
    return row
