"""What a run left in its folder, read back. A file that is not there reads as empty."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from cluster.config import RunConfig, load_config
from cluster.loops.time_spent import ActorLook, Span
from cluster.metrics.jsonl_sink import read_metrics, read_rows
from cluster.run_folder import RunFolder
from label_queue.asking.schedule import LabelSchedule
from label_queue.intake.owner_schemas import LabelerRow
from label_queue.ledger.dataset import current_labels
from label_queue.ledger.sql import SqlLedger
from label_queue.oversight.cord_fold import RELEASED, after
from label_queue.oversight.overview import labeler_rows
from label_queue.simulated.gold import response_gold
from label_queue.state import LabelState
from protocol.errors import InputError
from protocol.files import reading
from protocol.labels import AnswerEvent, Comparison, CordEvent

RecordT = TypeVar("RecordT")


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutRecord:
    """A line of `recordings/rollouts.jsonl`: a response of ρ, or one that was trained on."""

    step: int
    """The policy version its PPO step made, from 1; 0 for responses of ρ."""
    episodes: int
    """Trained after that step."""
    rollout_id: str
    purpose: str
    prompt: str
    """In one text; of a chat, its turns with their roles."""
    text: str
    score: float | None
    reward_version: int | None
    oldest_version: int
    actor_id: str
    started_at: float
    finished_at: float

    @property
    def policy_lag(self) -> int:
        """Versions between the policy that the step changed and the rollout's oldest token."""
        return self.step - 1 - self.oldest_version


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRecord:
    """A line of `recordings/policies.jsonl`: a version of the policy."""

    version: int
    episodes: int
    reward_version: int
    restored_from: int | None
    """The version that a rollback made it of; None: a step made it."""
    created_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstSampleRecord:
    """A line of `recordings/first_samples.jsonl`: a policy version was first sampled from."""

    version: int
    sampled_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardRecord:
    """A line of `recordings/rewards.jsonl`: a version of the reward that was served."""

    version: int
    kind: str
    ledger_seq: int
    labels_used: int
    fit_seconds: float
    served_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CordRecord:
    """The cord was pulled or released."""

    action: str
    """"pull" or "release"."""
    actor: str
    reason: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecords:
    """Everything of a run that a report is made from. Times are Unix seconds."""

    config: RunConfig
    state: dict[str, Any]
    """`run.json`."""
    rows: tuple[dict[str, float], ...]
    """`metrics.jsonl`."""
    rollouts: tuple[RolloutRecord, ...]
    policies: tuple[PolicyRecord, ...]
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
    """What the ledger holds, and the live figures of it, as at the run's end."""
    training: tuple[Comparison, ...]
    """The training set at the end."""
    labelers: tuple[LabelerRow, ...]
    """By name, with what the ledger says of how well each labels."""

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
    def has_gold(self) -> bool:
        """Whether the task has a hidden score that the report may look at."""
        return self.config.prompts.source == "reviews"

    def gold(self, rollout: RolloutRecord) -> float:
        """Return the hidden score of a response; only for tasks that have one."""
        assert self.has_gold, "this task has no gold score"
        return response_gold(rollout.prompt, rollout.text)

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
    recordings = folder.recordings
    first_samples = _read(recordings / "first_samples.jsonl", FirstSampleRecord)
    label_side, cord = _read_ledger(folder.ledger, config)
    for sample in first_samples:
        label_side.figures.first_sampled(sample.version, sample.sampled_at)
    view = label_side.view()
    training = view.dataset(view.last_seq, config.labels.quality)
    return RunRecords(
        config=config,
        state=folder.read_state(),
        rows=tuple(read_metrics(folder.metrics)),
        rollouts=_read(recordings / "rollouts.jsonl", RolloutRecord),
        policies=_read(recordings / "policies.jsonl", PolicyRecord),
        first_samples=first_samples,
        rewards=_read(recordings / "rewards.jsonl", RewardRecord),
        learner=_read(recordings / "learner.jsonl", Span),
        fits=_read(recordings / "fits.jsonl", Span),
        actor_looks=_read(recordings / "actors.jsonl", ActorLook),
        cord=cord,
        label_side=label_side,
        training=training,
        labelers=labeler_rows(view, (), config.labels.quality, training),
    )


def _read(path: Path, record: type[RecordT]) -> tuple[RecordT, ...]:
    """Read a stream of records; what a line holds beyond the record's fields is left."""
    names = [field.name for field in fields(record)]  # type: ignore[arg-type]
    adapter = TypeAdapter(record)
    found = []
    for number, row in enumerate(read_rows(path), start=1):
        try:
            known = {name: row[name] for name in names if name in row}
            found.append(adapter.validate_python(known))
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            place = ".".join(map(str, problem["loc"]))
            raise InputError(
                f"{path} does not hold {record.__name__}s (line {number}: {place}: "
                f"{problem['msg']}); it was changed, or written by another version"
            ) from error
    return tuple(found)


def _read_ledger(path: Path, config: RunConfig) -> tuple[LabelState, tuple[CordRecord, ...]]:
    """Fold a run's ledger as the label queue does, so that all figures of it are the live ones."""
    schedule = LabelSchedule.of(
        config.labels, num_episodes=config.run.episodes, mode=config.run.mode
    )
    label_side = LabelState(config.labels, schedule, time.time)
    with reading(path, "ledger", "it is the run's own"):
        is_there = path.exists()
    if not is_there:
        return label_side, ()
    ledger = SqlLedger.open_to_read(path)
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
