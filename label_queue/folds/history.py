"""Label events as they stand: who said what, in which revision, and how many count."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping

from label_queue.config import QualityConfig
from label_queue.folds.label_table import LabelColumns, LabelTable
from label_queue.kept import kept
from label_queue.quality.preference import TRAINING
from label_queue.quality.standing import Standing, Standings
from protocol.labels import (
    AnswerEvent,
    ComparisonQuery,
    GoldEvent,
    LabelChange,
    LabelerEvent,
    LabelEvent,
    Retracted,
    Submitted,
)

PREFERENCES = ("choice", "ranking", "tie")
"""Outcomes that train; the others are stored and asked for anew."""


@kept(
    "events",
    "standings",
    "training",
    "num_held",
    "num_moves",
    "num_retracted",
    "_sizes",
    "_columns",
    "_by_id",
    "_latest",
    "_submits",
    "_submits_of",
    "_trainable",
    "_settled",
)
class LabelHistory:
    """All label events by `seq`, and the counts the schedule and the coverage figure need.

    What counts towards l(n) is what a fit would take now, so the count falls when a labeler is
    suspended or excluded and rises when one is cleared or reinstated.
    """

    def __init__(self, queries: Mapping[str, ComparisonQuery], config: QualityConfig) -> None:
        """Take the queries by id; those added to the mapping later are seen."""
        self.events: list[LabelEvent] = []
        self.standings = Standings(queries, config)
        self.training: set[str] = set()
        """Ids of the labels that would train now: the training set. Not to be changed."""
        self.num_held = 0
        """Labels that would train now, were their labeler not on probation or suspended."""
        self.num_moves = 0
        """How often somebody's standing changed what their labels do, which may be many at once."""
        self.num_retracted = 0
        self._sizes = array("i", [0])
        """How many labels the training set had after each event, by sequence number."""
        self._queries = queries
        self._columns = LabelColumns()
        self._by_id: dict[str, LabelEvent] = {}
        self._latest: dict[str, LabelChange] = {}
        self._submits: list[Submitted] = []
        self._submits_of: dict[str, list[Submitted]] = defaultdict(list)
        self._trainable: dict[str, dict[str, int]] = defaultdict(dict)
        self._settled: dict[str, tuple[Standing, int]] = {}
        """Each labeler's standing when last looked at, and how many of their labels were held."""

    @property
    def last_seq(self) -> int:
        """The newest event's place in the ledger; 0 before the first."""
        return self.events[-1].seq if self.events else 0

    @property
    def num_submitted(self) -> int:
        """Distinct labels received, whatever they say and whoever gave them."""
        return len(self._submits)

    @property
    def num_preferences(self) -> int:
        """Labels that would train now."""
        return len(self.training)

    def newest_submits(self, count: int) -> list[Submitted]:
        """Return the newest `count` first answers, oldest first."""
        return self._submits[max(0, len(self._submits) - count) :]

    def submits_of(self, labeler_id: str) -> list[Submitted]:
        """Return a labeler's first answers, oldest first. Not to be changed."""
        return self._submits_of.get(labeler_id, [])

    def label_on(self, labeler_id: str, query_id: str) -> Submitted | None:
        """Return a labeler's first answer to a query, or None."""
        own = self.submits_of(labeler_id)
        return next((event for event in own if event.query_id == query_id), None)

    def received_since(self, time: float) -> list[Submitted]:
        """Return the first answers received after `time`."""
        return self._submits[bisect_right(self._submits, time, key=lambda e: e.received_at) :]

    def find(self, event_id: str) -> LabelEvent | None:
        """Return the event of that id, if it took effect."""
        return self._by_id.get(event_id)

    def latest(self, label_id: str) -> LabelChange | None:
        """Return a label's newest event, which may be its retraction."""
        return self._latest.get(label_id)

    def apply(self, event: LabelEvent) -> bool:
        """Take the next event; return False for one that took effect before."""
        if event.event_id in self._by_id:
            return False
        self.events.append(event)
        self._by_id[event.event_id] = event
        if isinstance(event, Submitted):
            self._submits.append(event)
            self._submits_of[event.labeler_id].append(event)
        self.num_retracted += isinstance(event, Retracted)
        self.standings.apply(event)
        before, is_training, prefers = None, False, states_preference(event)
        if isinstance(event, LabelChange):
            before = self._latest.get(event.label_id)
            self._latest[event.label_id] = event
            trainable = self._trainable[event.labeler_id]
            is_training = prefers and self._queries[event.query_id].purpose in TRAINING
            if is_training:
                trainable[event.label_id] = event.seq
            else:
                trainable.pop(event.label_id, None)
                self.training.discard(event.label_id)
        self._columns.take(event, before, prefers=prefers, is_training=is_training)
        if not isinstance(event, GoldEvent):
            self._settle(event)
        self._sizes.extend([self._sizes[-1]] * (event.seq - len(self._sizes)))
        self._sizes.append(len(self.training))
        return True

    def num_training(self, seq: int) -> int:
        """Return how many labels the training set had after the event of that sequence number."""
        return self._sizes[min(seq, len(self._sizes) - 1)]

    def table(self) -> LabelTable:
        """Return a snapshot of all labels in columns, without going through them."""
        return self._columns.table(lambda name: self.standings[name].trains_until)

    def _settle(self, event: LabelerEvent) -> None:
        """Bring the training set up to date with an event, and with what it does to a standing."""
        name = event.labeler_id
        standing, own = self.standings[name], self._trainable[name]
        before, held_before = self._settled.get(name, (None, 0))
        has_moved = before is None or not standing.trains_like(before)
        if has_moved:
            self.num_moves += 1
            touched = set(own)
        else:
            touched = own.keys() & {event.label_id} if isinstance(event, LabelChange) else set()
        for label_id in touched:
            if standing.trains(own[label_id]):
                self.training.add(label_id)
            else:
                self.training.discard(label_id)
        held = len(own.keys() - self.training) if standing.is_held else 0
        self._settled[name] = standing, held
        self.num_held += held - held_before


def states_preference(event: LabelEvent | None) -> bool:
    """Say whether a label's newest event is one the reward model can learn from."""
    return isinstance(event, AnswerEvent) and event.outcome in PREFERENCES
