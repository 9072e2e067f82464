"""What a run left in its folder, read back. A file that is not there reads as empty."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cluster.config import RunConfig
from cluster.config_file import load_config
from cluster.metrics.jsonl_sink import read_metrics
from cluster.recordings.records import (
    ActorLook,
    CandidateScore,
    FirstSampleRecord,
    RewardRecord,
    RolloutRecord,
    Span,
)
from cluster.recordings.streams import (
    ACTORS,
    CANDIDATE_SCORES,
    FIRST_SAMPLES,
    FITS,
    LEARNER,
    POLICIES,
    REWARDS,
    ROLLOUTS,
    read,
)
from cluster.run_folder import RunFolder
from label_queue.folds.cord import RELEASED, after
from label_queue.folds.dataset import current_labels
from label_queue.ledger.opening import is_there
from label_queue.ledger.sql import SqlLedger
from label_queue.ledger_place import LedgerPlace
from label_queue.oversight.judgement import Evidence, assessments
from label_queue.quality.assessment import Assessment
from label_queue.simulated.gold.registry import gold_of
from label_queue.state import LabelState
from protocol.cord import CordEvent
from protocol.fits import Comparison
from protocol.labels import AnswerEvent, PolicyProvenance


@dataclass(frozen=True, slots=True, kw_only=True)
class CordRecord:
    """The cord was pulled or released."""

    action: str
    """"pull" or "release"."""
    actor: str
    reason: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardStart:
    """The policy began to be trained on a reward version."""

    episodes: int
    """Trained by then."""
    is_refit: bool
    """Whether the version, or what it caught up from, was fitted from ρ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecords:
    """Everything of a run that a report is made from. Times are Unix seconds."""

    config: RunConfig
    state: dict[str, Any]
    """Content of `run.json`."""
    rows: tuple[dict[str, float], ...]
    """Rows of `metrics.jsonl`."""
    rollouts: tuple[RolloutRecord, ...]
    policies: tuple[PolicyProvenance, ...]
    first_samples: tuple[FirstSampleRecord, ...]
    rewards: tuple[RewardRecord, ...]
    learner: tuple[Span, ...]
    """What the learner did and waited for, in order."""
    fits: tuple[Span, ...]
    """What the reward trainer did."""
    actor_looks: tuple[ActorLook, ...]
    """What the actors said of themselves, in order."""
    cord: tuple[CordRecord, ...]
    label_side: LabelState
    """What the ledger holds, and its live figures, as at the run's end."""
    training: tuple[Comparison, ...]
    """The training set at the end."""
    labelers: tuple[Assessment, ...]
    """What the ledger says of how well each labeler labels, by name."""
    candidate_scores: Mapping[str, float] = field(default_factory=dict)
    """What the last reward says of responses that people judged, by candidate id; empty where none
    were scored."""

    @property
    def trained(self) -> list[RolloutRecord]:
        """Rollouts that PPO trained on, in the order of their steps."""
        return sorted((r for r in self.rollouts if r.step > 0), key=lambda r: r.step)

    @property
    def reference(self) -> list[RolloutRecord]:
        """Responses of ρ."""
        return [r for r in self.rollouts if r.step == 0]

    @property
    def labels(self) -> list[AnswerEvent]:
        """The latest revision of every label that stands, by `seq`."""
        labels = current_labels(self.label_side.history.events)
        return sorted(labels.values(), key=lambda event: event.seq)

    @property
    def labelled_by(self) -> str | None:
        """Who gave the run its labels, in words; None where nobody did."""
        standings = self.label_side.history.standings
        given = {name for name, _ in standings.items() if standings.has_labelled(name)}
        simulated = {labeler.name for labeler in self.config.labelers}
        if not given:
            return None
        if given <= simulated:
            return "simulated labelers"
        return "people and simulated labelers" if given & simulated else "people"

    @property
    def labelers_in_words(self) -> str:
        """As `labelled_by`; "labelers" where nobody has labelled yet."""
        return self.labelled_by or "labelers"

    @property
    def has_gold(self) -> bool:
        """Whether the task has a hidden score that the report may look at."""
        return self.config.gold is not None

    @property
    def reward_starts(self) -> list[RewardStart]:
        """When each reward version that the policy was trained on took over, in order."""
        # Of a refit that had to catch up, it is the update after it that was served.
        refits = {
            each.version + (each.served_at is None) for each in self.rewards if each.kind == "refit"
        }
        first: dict[int, int] = {}
        for policy in sorted(self.policies, key=lambda policy: policy.version):
            first.setdefault(policy.reward_version, policy.episodes)
        return [
            RewardStart(episodes=episodes, is_refit=version in refits)
            for version, episodes in first.items()
        ]

    def gold(self, rollout: RolloutRecord) -> float:
        """Return the hidden score of a response; only for tasks that have one.

        Raises:
            MissingError: What the score reads by is not installed here.
        """
        name = self.config.gold
        assert name is not None, "this task has no gold score"
        return gold_of(name).score(rollout.prompt, rollout.text)

    def series(self, name: str) -> list[float]:
        """Return all values of one metric, as they came."""
        return [row[name] for row in self.rows if name in row]

    def against(self, name: str, axis: str) -> tuple[list[float], list[float]]:
        """Return a metric and what it is drawn against, from the rows that hold both."""
        rows = [row for row in self.rows if name in row and axis in row]
        return [row[axis] for row in rows], [row[name] for row in rows]


def read_run(path: Path) -> RunRecords:
    """Read a run's folder, of a run that has ended or still goes on.

    Raises:
        MissingError: The folder holds no run.
        InputError: A file is not what it should be.
    """
    folder = RunFolder.existing(path)
    config = load_config(folder.config)
    first_samples = read(folder.recordings, FIRST_SAMPLES)
    label_side, cord = read_ledger(config.labels.ledger_place(folder.ledger), config)
    for sample in first_samples:
        label_side.figures.first_sampled(sample.version, sample.sampled_at)
    view = label_side.view()
    training = view.dataset(view.last_seq, config.labels.quality)
    return RunRecords(
        config=config,
        state=folder.read_state(),
        rows=tuple(read_metrics(folder.metrics)),
        rollouts=read(folder.recordings, ROLLOUTS),
        policies=read(folder.recordings, POLICIES),
        first_samples=first_samples,
        rewards=_as_last_told(read(folder.recordings, REWARDS)),
        learner=read(folder.recordings, LEARNER),
        fits=read(folder.recordings, FITS),
        actor_looks=read(folder.recordings, ACTORS),
        cord=cord,
        label_side=label_side,
        training=training,
        labelers=assessments(Evidence.of(label_side), config.labels.quality),
        candidate_scores=_last_scores(read(folder.recordings, CANDIDATE_SCORES)),
    )


def _as_last_told(rewards: Iterable[RewardRecord]) -> tuple[RewardRecord, ...]:
    """Return each version's last record: a refit that could not catch up has one as it is made."""
    return tuple({each.version: each for each in rewards}.values())


def _last_scores(scores: Sequence[CandidateScore]) -> dict[str, float]:
    """Return the scores of the last reward version, by candidate id."""
    last = max((each.reward_version for each in scores), default=0)
    return {each.candidate_id: each.score for each in scores if each.reward_version == last}


def read_ledger(place: LedgerPlace, config: RunConfig) -> tuple[LabelState, tuple[CordRecord, ...]]:
    """Fold a run's ledger as the label queue does, so that all figures of it are the live ones.

    Returns what it holds, and when the line was stopped and let go. Where there is none yet, it is
    as an empty one.

    Raises:
        ResourceError: It may not be read.
    """
    label_side = LabelState(config.labels, config.label_schedule, time.time)
    if not is_there(place, "it is the run's own"):
        return label_side, ()
    ledger = SqlLedger.open_to_read(place)
    try:
        label_side.load(ledger)
        return label_side, _cord_records(ledger.cord_events())
    finally:
        ledger.close()


def _cord_records(events: Iterable[CordEvent]) -> tuple[CordRecord, ...]:
    """Return when the line was stopped and let go: an order to roll back stops it, too."""
    records, hangs = [], RELEASED
    for event in events:
        before, hangs = hangs, after(hangs, event)
        if before.is_pulled != hangs.is_pulled:
            action = "pull" if hangs.is_pulled else "release"
            records.append(
                CordRecord(action=action, actor=event.actor, reason=event.reason, at=event.at)
            )
    return tuple(records)
