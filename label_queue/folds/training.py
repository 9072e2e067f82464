"""Which labels would train now, as label events come."""

from __future__ import annotations

from array import array
from collections.abc import Mapping

import numpy as np

from label_queue.kept import kept
from label_queue.name_index import NameIndex
from label_queue.quality.preference import TRAINING
from label_queue.quality.purposes import purpose_of
from label_queue.quality.standing import Standing
from label_queue.quality.standings import Standings
from label_queue.quality_config import QualityConfig
from protocol.labels import (
    AnswerEvent,
    ComparisonQuery,
    GoldEvent,
    LabelChange,
    LabelEvent,
)

PREFERENCES = ("choice", "ranking", "tie")
"""Outcomes that train; the others are stored and asked for anew."""
NO_LABEL = 0
"""The row of what is no label: sequence numbers begin at 1."""


@kept(
    "standings",
    "num_preferences",
    "num_held",
    "num_moves",
    "_rows",
    "_people",
    "_labeler",
    "_preferred_at",
    "_trains",
    "_settled",
)
class TrainingLabels:
    """The training set, event by event, and why others are not in it. Keeps no event.

    A label has its row in the columns at the sequence number of its first event.
    """

    def __init__(self, queries: Mapping[str, ComparisonQuery], config: QualityConfig) -> None:
        """Take the queries by id; those added to the mapping later are seen."""
        self.standings = Standings(queries, config)
        self.num_preferences = 0
        """Labels that would train now: the size of the training set."""
        self.num_held = 0
        """Labels that would train now, were their labeler not on probation or suspended."""
        self.num_moves = 0
        """How often somebody's standing changed what their labels do, which may be many at once."""
        self._queries = queries
        self._rows = NameIndex()
        """Rows by label id."""
        self._people: dict[str, int] = {}
        self._labeler = array("i", [0])
        """Who gave each label that could train, by their number from 1."""
        self._preferred_at = array("i", [0])
        """The number of each label's newest event, where it states a preference to train on."""
        self._trains = bytearray(1)
        """Whether each label would train now: the training set."""
        self._settled: dict[str, tuple[Standing, int]] = {}
        """Each labeler's standing when last looked at, and how many of their labels were held."""

    def row_of(self, label_id: str) -> int | None:
        """Return a label's row, or None where there is no such label."""
        return self._rows.get(label_id)

    def trains(self, row: int) -> bool:
        """Say whether a label would train now; one that is still to come does not."""
        return row < len(self._trains) and bool(self._trains[row])

    def training_rows(self) -> frozenset[int]:
        """Return the rows of the training set."""
        return frozenset(np.flatnonzero(np.frombuffer(self._trains, dtype=np.uint8)).tolist())

    def may_train(self, row: int) -> bool:
        """Say whether a label states a preference on what the reward trains on, whoever gave it."""
        return self._preferred_at[row] > 0

    def take(self, event: LabelEvent) -> int:
        """Take the next event that took effect; return the row of its label, if it is of one."""
        self.standings.apply(event)
        row = self._row(event)
        held_before = self._is_held(row)
        if isinstance(event, LabelChange):
            prefers = states_preference(event) and self.is_asked(event)
            self._labeler[row] = self._people.setdefault(event.labeler_id, len(self._people) + 1)
            self._preferred_at[row] = event.seq if prefers else 0
            if not prefers:
                self._put(row, trains=False)
        if not isinstance(event, GoldEvent):
            self._settle(event.labeler_id, row, held_before=held_before)
        return row

    def is_asked(self, event: LabelEvent) -> bool:
        """Say whether an event is of a label on a query of the schedule: no gold, no repeat."""
        return (
            isinstance(event, LabelChange) and purpose_of(self._queries, event.query_id) in TRAINING
        )

    def _row(self, event: LabelEvent) -> int:
        """Return the row of an event's label, making room for it; `NO_LABEL` where it has none."""
        while len(self._trains) <= event.seq:
            self._labeler.append(0)
            self._preferred_at.append(0)
            self._trains.append(0)
        if not isinstance(event, LabelChange):
            return NO_LABEL
        row = self._rows.get(event.label_id)
        if row is None:
            row = event.seq
            self._rows.set(event.label_id, row)
        return row

    def _settle(self, name: str, row: int, *, held_before: bool) -> None:
        """Bring the training set up to date with an event, and with what it does to a standing.

        Args:
            name: Whom the event names.
            row: The label's that changed, if one did.
            held_before: Whether it was held before.
        """
        standing = self.standings[name]
        before, held = self._settled.get(name, (None, 0))
        num_before = held
        if before is None or not standing.trains_like(before):
            self.num_moves += 1
            held = self._settle_all(self._people.get(name, 0), standing)
        elif row != NO_LABEL:
            if self.may_train(row):
                self._put(row, trains=standing.trains(self._preferred_at[row]))
            held += self._is_held(row) - held_before
        held = held if standing.is_held else 0
        self._settled[name] = standing, held
        self.num_held += held - num_before

    def _settle_all(self, person: int, standing: Standing) -> int:
        """Let all labels of somebody train, or not, by a standing; return how many do not."""
        until = standing.trains_until
        numbers = np.frombuffer(self._preferred_at, dtype=np.int32)
        of_them = np.frombuffer(self._labeler, dtype=np.int32) == person
        own = np.flatnonzero(of_them & (numbers > 0))
        marks = np.frombuffer(self._trains, dtype=np.uint8)
        trains = np.ones(len(own), dtype=np.bool_) if until is None else numbers[own] < until
        self.num_preferences += int(trains.sum()) - int(marks[own].sum())
        marks[own] = trains
        return len(own) - int(trains.sum())

    def _put(self, row: int, *, trains: bool) -> None:
        self.num_preferences += trains - self._trains[row]
        self._trains[row] = trains

    def _is_held(self, row: int) -> bool:
        return self.may_train(row) and not self._trains[row]


def states_preference(event: LabelEvent | None) -> bool:
    """Say whether a label's newest event is one the reward model can learn from."""
    return isinstance(event, AnswerEvent) and event.outcome in PREFERENCES
