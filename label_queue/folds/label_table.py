"""Labels in columns, kept as events come: what is asked of all labels at once reads these.

S sequence numbers from 0, which nothing has, up to the newest. A label has its row at the number of
its first event, whatever was made of it since; other rows are 0.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from label_queue.kept import KEPT, kept
from label_queue.quality.given import (
    Bools,
    Digests,
    GivenLabels,
    Ints,
    counts_of,
    label_digest,
    query_digest,
)
from label_queue.quality.standing import Standing
from protocol.labels import (
    AnswerEvent,
    GoldEvent,
    LabelChange,
    LabelEvent,
    OwnerEvent,
)

ALL = np.iinfo(np.int64).max
"""Above every sequence number: where somebody's labels train, whichever."""
NOBODY = ""
"""The first labeler of a table: who gave what is no label."""
_PREFERS, _TRAINS, _ASKED = 1, 2, 4
UNCHANGING = ("labeler", "label", "received_at", "label_digest", "query_digest")
"""Columns of which no entry ever changes: a table shares them with those before it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelTable:
    """All labels at one moment. Not to be changed."""

    names: tuple[str, ...]
    """NOBODY, and the labelers in the order of their first events; columns name them by place."""
    labeler: NDArray[np.int32]
    """[S], who gave the label that an event is of; 0 where it is of none."""
    label: NDArray[np.int32]
    """[S], the row of the label that an event is of; 0 where it is of none."""
    received_at: NDArray[np.float64]
    """[S], when an event was received, Unix seconds."""
    stands: NDArray[np.int32]
    """[S], the number of a label's newest revision; 0 where it was retracted."""
    prefers: Bools
    """[S], whether a label, as it stands, states a preference."""
    is_training: Bools
    """[S], whether a label states one on what the reward is trained on: no gold, no repeat."""
    trains_until: Ints
    """[labelers], the number from which on somebody's labels are held or left out."""
    held_from: Ints
    """[labelers], that from which on they are held, whether others are left out or not."""
    label_digest: Digests
    """[S], of each label; see `quality.given`."""
    query_digest: Digests
    """[S], the same of its query."""
    returned_at: Mapping[str, int]
    """When an act of the owner's last brought labels of somebody back, as a sequence number."""
    judges: frozenset[str] = frozenset()
    """Labelers whose labels never train, whatever the owner decides about them."""

    def given(self, rows: Ints) -> GivenLabels:
        """Return what weighing asks of some labels, [n] rows."""
        return GivenLabels(
            names=self.names,
            labeler=self.labeler[rows].astype(np.int64),
            label_digest=self.label_digest[rows],
            query_digest=self.query_digest[rows],
        )

    def training_set(self) -> Bools:
        """Return [S], the labels that a refit would learn."""
        enters: Bools = self.is_training & (self.stands < self.trains_until[self.labeler])
        return enters

    def counting(self) -> Bools:
        """Return [S], labels that stand and are neither held nor left out, whatever they say."""
        count: Bools = (self.stands > 0) & (self.stands < self.trains_until[self.labeler])
        return count

    def of_labeler(self, labeler_id: str) -> Bools:
        """Return [S], somebody's labels that stand."""
        if labeler_id not in self.names:
            return np.zeros(len(self.label), dtype=np.bool_)
        own: Bools = (self.stands > 0) & (self.labeler == self.names.index(labeler_id))
        return own

    def counts(self, labels: Bools) -> dict[str, int]:
        """Return how many of some labels, [S], each labeler gave; nobody who gave none."""
        return counts_of(self.names, self.labeler[labels])

    def labels_of(self, events: Bools) -> Bools:
        """Return [S], the labels that some events, [S], are of."""
        found = np.zeros(len(self.label), dtype=np.bool_)
        found[self.label[events]] = True
        found[0] = False
        return found

    def after(self, change: OwnerEvent, standing: Standing) -> Self:
        """Return the table after one more event of the owner's, which makes a standing so."""
        if change.labeler_id not in self.names or change.labeler_id in self.judges:
            return self
        until, held = self.trains_until.copy(), self.held_from.copy()
        place, returned_at = self.names.index(change.labeler_id), dict(self.returned_at)
        until[place], held[place] = _limit(standing.trains_until), _limit(standing.held_from)
        if until[place] > self.trains_until[place]:
            returned_at[change.labeler_id] = len(self.label)
        return replace(self, trains_until=until, held_from=held, returned_at=returned_at)


@kept("labeler", "label", "received_at", "_numbers")
class EventColumns:
    """What never changes of each event, by its number; only added to.

    May be read in any thread while one thread adds.
    """

    def __init__(self) -> None:
        self.labeler = array("i", [0])
        """Who gave the label that an event is of, by their number; 0 where it is of none."""
        self.label = array("i", [0])
        """The row of the label that an event is of; 0 where it is of none."""
        self.received_at = array("d", [0.0])
        """When an event was received, Unix seconds."""
        self._numbers = {NOBODY: 0}

    @classmethod
    def of(cls, events: Iterable[LabelEvent]) -> Self:
        """Go through all events, in order."""
        columns, rows = cls(), dict[str, int]()
        for event in events:
            if isinstance(event, LabelChange):
                columns.note(event, rows.setdefault(event.label_id, event.seq))
            else:
                columns.note(event, 0)
        return columns

    def note(self, event: LabelEvent, row: int) -> None:
        """Take the next event; `row` is its label's, 0 where it is of none."""
        name = NOBODY if isinstance(event, GoldEvent) else event.labeler_id
        number = self._numbers.setdefault(name, len(self._numbers))
        while len(self.label) <= event.seq:
            self.received_at.append(event.received_at)
            self.labeler.append(0)
            self.label.append(0)
        if isinstance(event, LabelChange):
            self.labeler[event.seq], self.label[event.seq] = number, row

    def is_by(self, seq: int, labeler_id: str) -> bool:
        """Say whether an event is of a label that somebody gave."""
        return self.labeler[seq] == self._numbers.get(labeler_id, -1)


@kept(
    *KEPT[EventColumns],
    "_newest",
    "_stands",
    "_says",
    "_label_digest",
    "_query_digest",
    "_returned_at",
)
class LabelColumns(EventColumns):
    """A table of labels while events come."""

    def __init__(self) -> None:
        super().__init__()
        self._newest, self._stands = array("i", [0]), array("i", [0])
        self._says = bytearray(1)
        self._label_digest, self._query_digest = array("Q", [0]), array("Q", [0])
        self._copies = {name: _Copy() for name in UNCHANGING}
        self._returned_at: dict[str, int] = {}

    def take(
        self, event: LabelEvent, row: int, *, prefers: bool, is_training: bool, is_asked: bool
    ) -> None:
        """Take the next event.

        Args:
            event: Any.
            row: The row of its label; 0 where it is of none.
            prefers: Whether it states a preference.
            is_training: Whether that is one to train on.
            is_asked: Whether its query is of the schedule, no gold and no repeat.
        """
        self.note(event, row)
        while len(self._says) <= event.seq:
            for column in (self._newest, self._stands, self._says):
                column.append(0)
            self._label_digest.append(0)
            self._query_digest.append(0)
        if isinstance(event, LabelChange):
            if row == event.seq:
                self._label_digest[row] = label_digest(event)
                self._query_digest[row] = query_digest(event)
            self._newest[row] = event.seq
            self._stands[row] = event.seq if isinstance(event, AnswerEvent) else 0
            self._says[row] = _PREFERS * prefers + _TRAINS * is_training + _ASKED * is_asked

    def came_back(self, act: OwnerEvent, before: Standing, after: Standing) -> None:
        """Note an act that was taken, where it brings labels back; one that takes away does not."""
        if _limit(after.trains_until) > _limit(before.trains_until):
            self._returned_at[act.labeler_id] = act.seq

    def newest(self, row: int) -> int:
        """Return the number of a label's newest event, which may be its retraction."""
        return self._newest[row]

    def prefers(self, row: int) -> bool:
        """Say whether a label, as it stands, states a preference."""
        return bool(self._says[row] & _PREFERS)

    def is_asked(self, row: int) -> bool:
        """Say whether a label is on a query of the schedule, no gold and no repeat."""
        return bool(self._says[row] & _ASKED)

    def table(
        self, standing_of: Callable[[str], Standing], judges: Iterable[str] = ()
    ) -> LabelTable:
        """Return the labels as they stand now.

        Args:
            standing_of: Returns somebody's standing.
            judges: Whose labels never train.
        """
        says = np.frombuffer(bytes(self._says), dtype=np.uint8)
        found = [standing_of(name) for name in list(self._numbers)[1:]]
        return LabelTable(
            names=tuple(self._numbers),
            labeler=self._copies["labeler"].of(self.labeler),
            label=self._copies["label"].of(self.label),
            received_at=self._copies["received_at"].of(self.received_at),
            stands=np.array(self._stands, dtype=np.int32),
            prefers=(says & _PREFERS) > 0,
            is_training=(says & _TRAINS) > 0,
            label_digest=self._copies["label_digest"].of(self._label_digest),
            query_digest=self._copies["query_digest"].of(self._query_digest),
            trains_until=_limits(each.trains_until for each in found),
            held_from=_limits(each.held_from for each in found),
            returned_at=dict(self._returned_at),
            judges=frozenset(judges),
        )


class _Copy:
    """A column to which only ever something is added, as NumPy has it: what is new is copied."""

    def __init__(self) -> None:
        self._held: NDArray[Any] | None = None
        self._count = 0

    def of(self, column: array[Any]) -> NDArray[Any]:
        """Return the column as it is now. What is returned does not change."""
        count = len(column)
        if self._held is None or count > len(self._held):
            grown = np.empty(2 * count, dtype=column.typecode)
            grown[: self._count] = () if self._held is None else self._held[: self._count]
            self._held = grown
        self._held[self._count : count] = column[self._count :]
        self._count = count
        return self._held[:count]


def _limits(until: Iterable[int | None]) -> Ints:
    """Return [labelers], with nobody's before theirs."""
    return np.array([ALL, *map(_limit, until)], dtype=np.int64)


def _limit(until: int | None) -> int:
    return ALL if until is None else min(until, ALL)
