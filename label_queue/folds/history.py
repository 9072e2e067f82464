"""Label events as they stand: who said what, in which revision, and how many count."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import cast

import numpy as np

from label_queue.folds.changes import Changes
from label_queue.folds.event_log import EventLog, Picked, Reader
from label_queue.folds.label_table import LabelColumns, LabelTable
from label_queue.folds.training import TrainingLabels, states_preference
from label_queue.kept import KEPT, kept
from label_queue.name_index import NameIndex
from label_queue.quality_config import QualityConfig
from protocol.labels import (
    ComparisonQuery,
    LabelChange,
    LabelEvent,
    OwnerEvent,
    Retracted,
    Revised,
    Submitted,
)


@kept(
    *KEPT[TrainingLabels],
    "events",
    "num_retracted",
    "num_judged",
    "changes",
    "columns",
    "_sizes",
    "_seqs",
    "_submits",
    "_submits_of",
    "_seqs_of",
)
class LabelHistory(TrainingLabels):
    """All label events by `seq`, and the counts the schedule and the coverage figure need.

    What counts towards l(n) is what a fit would take now, so the count falls when a labeler is
    suspended or excluded and rises when one is cleared or reinstated.
    """

    def __init__(
        self,
        queries: Mapping[str, ComparisonQuery],
        config: QualityConfig,
        read: Reader | None = None,
    ) -> None:
        """Begin with no events.

        Args:
            queries: By id; those added to the mapping later are seen.
            config: How labelers are judged.
            read: Reads events that are not in memory; None: all are.
        """
        super().__init__(queries, config)
        self.events = EventLog(read)
        self.num_retracted = 0
        self.num_judged = 0
        """How many of the labels received are judges'."""
        self.changes = Changes()
        """What was changed of labels that trained."""
        self.columns = LabelColumns()
        """What each event and each label is, without reading them."""
        self._sizes = array("i", [0])
        """How many labels the training set had after each event, by sequence number."""
        self._seqs = NameIndex()
        """Sequence numbers by event id: which events took effect."""
        self._submits = array("i")
        """The numbers of the first answers; below, of each labeler's."""
        self._submits_of: dict[str, array[int]] = defaultdict(_no_seqs)
        self._seqs_of: dict[str, array[int]] = defaultdict(_no_seqs)
        """The numbers of what came from each system."""

    @property
    def last_seq(self) -> int:
        """The newest event's place in the ledger; 0 before the first."""
        return self.events.last_seq

    @property
    def num_submitted(self) -> int:
        """Distinct labels received, whatever they say and whoever gave them."""
        return len(self._submits)

    def newest_submits(self, count: int) -> list[Submitted]:
        """Return the newest `count` first answers, oldest first."""
        return self.first_answers(self._submits[max(0, len(self._submits) - count) :])

    def submits_of(self, labeler_id: str) -> Picked[Submitted]:
        """Return a labeler's first answers, oldest first. Not to be changed."""
        return Picked(self.events, self._submits_of.get(labeler_id, _no_seqs()))

    def first_answer(self, seq: int) -> Submitted:
        """Return the first answer of a number."""
        return cast(Submitted, self.events.of(seq))

    def first_answers(self, seqs: Iterable[int]) -> list[Submitted]:
        """Return the first answers of some numbers, in their order."""
        return cast(list[Submitted], list(self.events.each(seqs)))

    def num_asked_since(self, time: float, now: float) -> int:
        """Return how many first answers to the schedule's queries came in that time."""
        return sum(map(self.columns.is_asked, self._received(self._submits, time, now)))

    def num_received_since(self, time: float, now: float, labeler_id: str | None = None) -> int:
        """Return how many came after `time` and up to `now`: of all, or of one labeler."""
        seqs = self._submits if labeler_id is None else self._submits_of.get(labeler_id, ())
        return sum(1 for _ in self._received(seqs, time, now))

    def labelers_since(self, time: float, now: float) -> set[str]:
        """Return who gave one of those, by looking at each labeler's last."""
        received_at = self.columns.received_at
        return {
            name for name, own in self._submits_of.items() if time < received_at[own[-1]] <= now
        }

    def seqs_of(self, system: str) -> array[int]:
        """Return the numbers of the events that came from a system, rising. Not to be changed."""
        return self._seqs_of.get(system, _no_seqs())

    def has(self, event_id: str) -> bool:
        """Say whether the event of that id took effect, without reading it."""
        return self._seqs.get(event_id) is not None

    def latest(self, label_id: str) -> LabelChange | None:
        """Return a label's newest event, which may be its retraction."""
        row = self.row_of(label_id)
        return None if row is None else self.latest_of(row)

    def latest_of(self, row: int) -> LabelChange:
        """Return the newest event of the label that began with the event of a number."""
        return cast(LabelChange, self.events.of(self.columns.newest(row)))

    def apply(self, event: LabelEvent) -> bool:
        """Take the next event; return False for one that took effect before."""
        if self.has(event.event_id):
            return False
        self.events.append(event)
        self._seqs.set(event.event_id, event.seq)
        if isinstance(event, Submitted):
            self._submits.append(event.seq)
            self._submits_of[event.labeler_id].append(event.seq)
        self._seqs_of[event.source.system].append(event.seq)
        self.num_retracted += isinstance(event, Retracted)
        if isinstance(event, Revised | Retracted):
            self._note_change(event)
        before = self.standings[event.labeler_id] if isinstance(event, OwnerEvent) else None
        row = self.take(event)
        if isinstance(event, Submitted):
            self.num_judged += self.standings[event.labeler_id].is_judge
        self.columns.take(
            event,
            row,
            prefers=states_preference(event),
            is_training=self.may_train(row),
            is_asked=self.is_asked(event),
        )
        if isinstance(event, OwnerEvent) and before is not None:
            self.columns.came_back(event, before, self.standings[event.labeler_id])
        self._sizes.extend([self._sizes[-1]] * (event.seq - len(self._sizes)))
        self._sizes.append(self.num_preferences)
        return True

    def _note_change(self, event: LabelChange) -> None:
        row = self.row_of(event.label_id)
        if row is not None and self.trains(row):
            self.changes.take(event.labeler_id, self.columns.newest(row), event.seq)

    def num_training(self, seq: int) -> int:
        """Return how many labels the training set had after the event of that sequence number."""
        return self._sizes[min(seq, len(self._sizes) - 1)]

    def num_joined(self, seq: int) -> int:
        """Return how many labels joined the training set after an event, whatever has left it."""
        sizes = np.array(self._sizes[min(seq, len(self._sizes) - 1) :], dtype=np.int64)
        return int(np.diff(sizes).clip(min=0).sum())

    def table(self) -> LabelTable:
        """Return a snapshot of all labels in columns, without going through them."""
        standings = self.standings
        return self.columns.table(standings.__getitem__, standings.judges())

    def _received(self, seqs: Sequence[int], time: float, now: float) -> Iterator[int]:
        """Yield the numbers of the events received after a time and up to now, newest first.

        Those of later are passed over: the clock was ahead, and was set back since.
        """
        received_at = self.columns.received_at
        for seq in reversed(seqs):
            if received_at[seq] <= time:
                return
            if received_at[seq] <= now:
                yield seq


def _no_seqs() -> array[int]:
    return array("i")
