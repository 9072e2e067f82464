"""Standing: whether a labeler's labels count, as a fold over label events.

                 gold test: good                gold test or drift: bad
    probation ───────────────────▶ active ──────────────────────────────▶ suspended
        │    ◀── reinstate ──         ▲                                       │
        │                             └──────────── reinstate ────────────────┤
        └────────────── exclude ──────────────▶ excluded ◀──── exclude ───────┘
                                                    └── reinstate ──▶ active

Held labels are stored, and not learned from: all of those on probation or suspended by the gold
test; of those suspended by drift, the labels since the drift began, which is after the last gold
answer that left the sum at 0 (Page 1954). Excluded, those from a sequence number on are left out.
Disagreement with the reward model changes no state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, assert_never

from label_queue.config import QualityConfig
from label_queue.kept import kept
from label_queue.quality.asked_gold import AskedGold
from label_queue.quality.drift import cusum
from label_queue.quality.gold import evidence, is_right, sequential_verdict
from label_queue.quality.purposes import purpose_of
from label_queue.quality.run_length import drift_threshold
from protocol.labels import (
    ComparisonQuery,
    Excluded,
    GoldEvent,
    LabelChange,
    LabelerEvent,
    LabelEvent,
    OwnerEvent,
    Reinstated,
    Retracted,
    Revised,
    Submitted,
)

LabelerState = Literal["probation", "active", "suspended", "excluded"]
GoldAlarm = Literal["gold", "drift"]


@kept()
@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One labeler, as the ledger up to some event has it."""

    state: LabelerState
    excluded_from: int | None = None
    """Sequence number from which on labels are left out; None: none are."""
    held_from: int = 0
    """Sequence number from which on labels are held, while the labeler's are; 0: all."""
    alarm: GoldAlarm | None = None
    """Which test suspended them, if one did and the owner has not lifted it."""
    gold_right: int = 0
    gold_wrong: int = 0

    @property
    def is_held(self) -> bool:
        """Whether labels wait for a decision."""
        return self.state in ("probation", "suspended")

    @property
    def gets_tasks(self) -> bool:
        """Whether the desk hands them tasks."""
        return self.state in ("probation", "active")

    @property
    def may_revise(self) -> bool:
        """Whether they may change or take back an answer: not after a decision that rests on it."""
        return self.gets_tasks

    @property
    def trains_until(self) -> int | None:
        """Sequence number from which on labels are held or left out; None: none are."""
        return self.held_from if self.is_held else self.excluded_from

    def trains(self, seq: int) -> bool:
        """Say whether a label of that sequence number may train."""
        until = self.trains_until
        return until is None or seq < until

    def trains_like(self, other: Standing) -> bool:
        """Say whether whatever may train by this standing may by another, and nothing else."""
        mine = (self.is_held, self.held_from, self.excluded_from)
        return mine == (other.is_held, other.held_from, other.excluded_from)


NEWCOMER = Standing(state="active")
"""Standing of somebody without labels, where there is no gold."""


@kept()
@dataclass(slots=True, kw_only=True)
class _Tests:
    """The sequential test, and after it the cumulative sum."""

    log_ratio: float = 0.0
    is_cleared: bool = False
    drift: float = 0.0
    good_through: int = 0
    """Sequence number of the last gold answer that left the sum at 0, or cleared the labeler."""

    def take(self, seq: int, *, is_right: bool, config: QualityConfig) -> GoldAlarm | None:
        """Take the next gold answer; return the alarm it raises."""
        step = evidence(is_right=is_right, config=config)
        if self.is_cleared:
            self.drift = cusum(self.drift, step)
            if self.drift == 0.0:
                self.good_through = seq
            return "drift" if self.drift >= drift_threshold(config) else None
        self.log_ratio += step
        verdict = sequential_verdict(self.log_ratio, config)
        self.is_cleared = verdict == "good"
        self.good_through = seq if self.is_cleared else 0
        return "gold" if verdict == "bad" else None


@kept()
@dataclass(slots=True, kw_only=True)
class _Labeler:
    """What the fold keeps of one labeler."""

    is_vouched: bool
    """Whether the owner vouched for them, or there was no gold when they began."""
    tests: _Tests = field(default_factory=_Tests)
    answers: dict[str, tuple[int, bool]] = field(default_factory=dict)
    """Gold answers since the tests began, by label id: sequence number when first given, and
    whether right."""
    right_before: int = 0
    """Right gold answers given before the tests were restarted."""
    wrong_before: int = 0
    """Wrong gold answers given before the tests were restarted."""
    alarm: GoldAlarm | None = None
    excluded_from: int | None = None

    def standing(self) -> Standing:
        right = self._num_right()
        return Standing(
            state=self._state(),
            excluded_from=self.excluded_from,
            held_from=self.tests.good_through + 1 if self.alarm == "drift" else 0,
            alarm=self.alarm,
            gold_right=self.right_before + right,
            gold_wrong=self.wrong_before + len(self.answers) - right,
        )

    def _num_right(self) -> int:
        return sum(is_right for _, is_right in self.answers.values())

    def _state(self) -> LabelerState:
        if self.excluded_from is not None:
            return "excluded"
        if self.alarm is not None:
            return "suspended"
        return "active" if self.is_vouched or self.tests.is_cleared else "probation"

    def answer(self, event: LabelChange, right: bool | None, config: QualityConfig) -> None:
        """Take a gold answer, its revision, or (None) its end. An alarm stays once it is raised."""
        is_new = event.label_id not in self.answers
        if right is not None:
            seq, _ = self.answers.get(event.label_id, (event.seq, right))
            self.answers[event.label_id] = seq, right
        elif self.answers.pop(event.label_id, None) is None:
            return
        if self.alarm is not None:
            return
        if is_new and right is not None:
            self.alarm = self.tests.take(event.seq, is_right=right, config=config)
            return
        self.tests = _Tests()
        for seq, each in self.answers.values():
            self.alarm = self.alarm or self.tests.take(seq, is_right=each, config=config)

    def reinstate(self) -> None:
        right = self._num_right()
        self.right_before += right
        self.wrong_before += len(self.answers) - right
        self.answers.clear()
        self.tests = _Tests()
        self.alarm = self.excluded_from = None
        self.is_vouched = True


@kept("_labelers", "_standings", "_num_submits", "gold")
class Standings:
    """Everybody's standing, kept up to date event by event.

    Whether somebody starts on probation depends on whether gold was there when their first label
    came, as the ledger has it (`AskedGold`), so that a gold task made later changes nothing about
    labels before it.
    """

    def __init__(self, queries: Mapping[str, ComparisonQuery], config: QualityConfig) -> None:
        """Take the queries by id; those added to the mapping later are seen."""
        self._queries = queries
        self._config = config
        drift_threshold(config)  # takes a moment, once: here rather than between two labels
        self._labelers: dict[str, _Labeler] = {}
        self._standings: dict[str, Standing] = {}
        self._num_submits = 0
        self.gold = AskedGold(queries)
        """Which gold is asked, and judges."""

    def __getitem__(self, labeler_id: str) -> Standing:
        """Return a labeler's standing, also of one who has given no label yet."""
        known = self._standings.get(labeler_id)
        if known is not None:
            return known
        return Standing(state="probation") if self._has_gold else NEWCOMER

    def items(self) -> list[tuple[str, Standing]]:
        """Return everybody the ledger knows something of, sorted by name."""
        return sorted(self._standings.items())

    def exclusions(self) -> dict[str, int]:
        """Return who is left out, each with the `seq` from which on, sorted by labeler."""
        limits = ((name, each.excluded_from) for name, each in self.items())
        return {name: since for name, since in limits if since is not None}

    def gold_answers(self) -> dict[str, tuple[int, int]]:
        """Return how many gold tasks everybody answered rightly and wrongly."""
        return {name: (each.gold_right, each.gold_wrong) for name, each in self.items()}

    def apply(self, event: LabelEvent) -> None:
        """Take the next event that took effect."""
        if isinstance(event, GoldEvent):
            self.gold.apply(event)
            return
        labeler = self._labelers.get(event.labeler_id)
        if labeler is None:
            labeler = _Labeler(is_vouched=not self._has_gold)
            self._labelers[event.labeler_id] = labeler
        elif not self._changes(event):
            self._num_submits += isinstance(event, Submitted)
            return
        self._num_submits += isinstance(event, Submitted)
        match event:
            case Excluded():
                labeler.excluded_from = event.from_seq or 0
            case Reinstated():
                labeler.reinstate()
            case Submitted() | Revised() | Retracted():
                if self._judges(event):
                    query = self._queries[event.query_id]
                    right = None if isinstance(event, Retracted) else is_right(query, event)
                    labeler.answer(event, right, self._config)
            case _:
                assert_never(event)
        self._standings[event.labeler_id] = labeler.standing()

    def _changes(self, event: LabelerEvent) -> bool:
        """Say whether an event of a known labeler can change their standing."""
        if isinstance(event, OwnerEvent):
            return True
        return self._judges(event)

    def _judges(self, event: LabelChange) -> bool:
        """Say whether a label judges its labeler; no query is read that is no gold."""
        is_gold = purpose_of(self._queries, event.query_id) == "gold"
        return is_gold and self.gold.judges(self._queries[event.query_id])

    @property
    def _has_gold(self) -> bool:
        """Whether gold is there before the next label."""
        return self.gold.is_there(self._num_submits)


def standings(
    queries: Mapping[str, ComparisonQuery], events: Iterable[LabelEvent], config: QualityConfig
) -> Standings:
    """Fold events, in order, to everybody's standing: a pure function of the ledger's prefix."""
    folded = Standings(queries, config)
    for event in events:
        folded.apply(event)
    return folded
