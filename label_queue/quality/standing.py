"""Standing: whether a labeler's labels count, as a fold over label events.

                 gold test: good                gold test or drift: bad
    probation ───────────────────▶ active ──────────────────────────────▶ suspended
        │    ◀── reinstate ──         ▲                                       │
        │                             └──────────── reinstate ────────────────┤
        └────────────── exclude ──────────────▶ excluded ◀──── exclude ───────┘
                                                    └── reinstate ──▶ active

    no label yet ── appoint ──▶ judge ── exclude ──▶ excluded ── reinstate ──▶ judge

Held labels are stored, and not learned from: all of those on probation or suspended by the gold
test; of those suspended by drift, the labels since the drift began, which is after the last gold
answer that left the sum at 0 (Page 1954). Excluded, those from a sequence number on are left out.
An exclusion only ever takes away: what is held when it comes stays held, from whatever number on.
Disagreement with the reward model changes no state.

Nothing that a judge says is ever learned, whatever the query and however it came: here that is
decided, since all that trains, counts towards l(n) or makes anchors asks a standing. Whoever gave a
label before they were appointed is no judge.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal, assert_never

from label_queue.config import QualityConfig
from label_queue.kept import kept
from label_queue.quality.asked_gold import AskedGold
from label_queue.quality.doubt import NUM_NEWEST
from label_queue.quality.drift import cusum
from label_queue.quality.gold import evidence, is_right, sequential_verdict
from label_queue.quality.purposes import purpose_of
from label_queue.quality.run_length import drift_threshold
from protocol.labels import (
    Appointed,
    ComparisonQuery,
    Excluded,
    GoldEvent,
    LabelChange,
    LabelerEvent,
    LabelEvent,
    Reinstated,
    Retracted,
    Revised,
    Submitted,
)

LabelerState = Literal["probation", "active", "suspended", "excluded", "judge"]
GoldAlarm = Literal["gold", "drift"]


@kept()
@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One labeler, as the ledger up to some event has it."""

    state: LabelerState
    excluded_from: int | None = None
    """Sequence number from which on labels are left out; None: none are."""
    held_from: int | None = None
    """Sequence number from which on labels are held, of one who is excluded too; 0: all; None: none
    are."""
    alarm: GoldAlarm | None = None
    """Which test suspended them, if one did and the owner has not lifted it."""
    gold_right: int = 0
    gold_wrong: int = 0
    is_judge: bool = False
    """Whether what they label judges and never trains; also of one who is excluded."""
    gold_against: float = 0.0
    """What speaks against them by the gold test that goes on, nats, at least 0."""

    @property
    def is_held(self) -> bool:
        """Whether labels wait for a decision."""
        return self.state in ("probation", "suspended")

    @property
    def gets_tasks(self) -> bool:
        """Whether the desk hands them tasks."""
        return self.state in ("probation", "active", "judge")

    @property
    def may_revise(self) -> bool:
        """Whether they may change or take back an answer: not after a decision that rests on it."""
        return self.gets_tasks

    @property
    def trains_until(self) -> int | None:
        """Sequence number from which on labels are held or left out; None: none are."""
        if self.is_judge:
            return 0
        return min((each for each in self._limits if each is not None), default=None)

    @property
    def _limits(self) -> tuple[int | None, int | None]:
        return self.held_from, self.excluded_from

    def trains(self, seq: int) -> bool:
        """Say whether a label of that sequence number may train."""
        until = self.trains_until
        return until is None or seq < until

    def judges(self, seq: int) -> bool:
        """Say whether a label of that sequence number counts among those of judges."""
        return self.is_judge and (self.excluded_from is None or seq < self.excluded_from)

    def trains_like(self, other: Standing) -> bool:
        """Say whether whatever may train by this standing may by another, and nothing else."""
        return (*self._limits, self.is_judge) == (*other._limits, other.is_judge)


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

    @property
    def against(self) -> float:
        """What speaks against them in the test that goes on, nats, at least 0."""
        return self.drift if self.is_cleared else max(0.0, self.log_ratio)

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
    answers_before: dict[str, bool] = field(default_factory=dict)
    """Gold answers from before the tests were restarted, by label id, and whether right: what is
    made of one later is counted, and tests nobody."""
    alarm: GoldAlarm | None = None
    excluded_from: int | None = None
    has_labelled: bool = False
    """Whether they ever gave a label, also one that was taken back."""
    is_judge: bool = False

    def standing(self) -> Standing:
        right = self._num_right()
        right_before = sum(self.answers_before.values())
        wrong_before = len(self.answers_before) - right_before
        return Standing(
            state=self._state(),
            excluded_from=self.excluded_from,
            held_from=self._held_from(),
            alarm=self.alarm,
            gold_right=right_before + right,
            gold_wrong=wrong_before + len(self.answers) - right,
            is_judge=self.is_judge,
            gold_against=self.tests.against,
        )

    def _held_from(self) -> int | None:
        if self.alarm == "drift":
            return self.tests.good_through + 1
        return 0 if self.alarm == "gold" or not self._is_cleared else None

    @property
    def _is_cleared(self) -> bool:
        return self.is_vouched or self.tests.is_cleared

    def _num_right(self) -> int:
        return sum(is_right for _, is_right in self.answers.values())

    def _state(self) -> LabelerState:
        if self.excluded_from is not None:
            return "excluded"
        if self.is_judge:
            return "judge"
        if self.alarm is not None:
            return "suspended"
        return "active" if self._is_cleared else "probation"

    def answer(self, event: LabelChange, right: bool | None, config: QualityConfig) -> None:
        """Take a gold answer, its revision, or (None) its end. An alarm stays once it is raised."""
        if event.label_id in self.answers_before:
            if right is None:
                del self.answers_before[event.label_id]
            else:
                self.answers_before[event.label_id] = right
            return
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
        self.answers_before |= {name: is_right for name, (_, is_right) in self.answers.items()}
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
        return Standing(state="probation", held_from=0) if self._has_gold else NEWCOMER

    def newest_gold(self, labeler_id: str) -> list[tuple[int, bool]]:
        """Return somebody's newest gold answers of the tests that go on, newest first.

        Of each the sequence number when first given, and whether it is right.
        """
        known = self._labelers.get(labeler_id)
        return [] if known is None else list(islice(reversed(known.answers.values()), NUM_NEWEST))

    def has_labelled(self, labeler_id: str) -> bool:
        """Say whether somebody ever gave a label, also one that was taken back."""
        known = self._labelers.get(labeler_id)
        return known is not None and known.has_labelled

    def items(self) -> list[tuple[str, Standing]]:
        """Return everybody the ledger knows something of, sorted by name."""
        return sorted(self._standings.items())

    def exclusions(self) -> dict[str, int]:
        """Return who is left out, each with the `seq` from which on, sorted by labeler."""
        limits = ((name, each.excluded_from) for name, each in self.items())
        return {name: since for name, since in limits if since is not None}

    def judges(self) -> frozenset[str]:
        """Return who judges, those who are excluded among them."""
        return frozenset(name for name, each in self._standings.items() if each.is_judge)

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
        self._num_submits += isinstance(event, Submitted)
        is_new = event.labeler_id not in self._standings
        labeler.has_labelled |= isinstance(event, LabelChange)
        if not is_new and not self._changes(event, labeler):
            return
        match event:
            case Excluded():
                labeler.excluded_from = event.from_seq or 0
            case Reinstated():
                labeler.reinstate()
            case Appointed():
                labeler.is_judge |= not labeler.has_labelled
            case Submitted() | Revised() | Retracted():
                if self._tests(event, labeler):
                    query = self._queries[event.query_id]
                    right = None if isinstance(event, Retracted) else is_right(query, event)
                    labeler.answer(event, right, self._config)
            case _:
                assert_never(event)
        self._standings[event.labeler_id] = labeler.standing()

    def _changes(self, event: LabelerEvent, labeler: _Labeler) -> bool:
        """Say whether an event of a known labeler can change their standing."""
        if not isinstance(event, LabelChange):
            return True
        return self._tests(event, labeler)

    def _tests(self, event: LabelChange, labeler: _Labeler) -> bool:
        """Say whether a label tests its labeler; no query is read that is no gold."""
        if labeler.is_judge or purpose_of(self._queries, event.query_id) != "gold":
            return False
        return self.gold.judges(self._queries[event.query_id])

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
