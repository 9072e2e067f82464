"""Label events as they stand: who said what, in which revision, and how many count."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from label_queue.config import QualityConfig
from label_queue.folds.label_table import LabelColumns, LabelTable
from label_queue.folds.training import TrainingLabels, states_preference
from label_queue.kept import KEPT, kept
from protocol.labels import ComparisonQuery, LabelChange, LabelEvent, Retracted, Submitted


@kept(
    *KEPT[TrainingLabels],
    "events",
    "num_retracted",
    "num_judged",
    "_sizes",
    "_columns",
    "_by_id",
    "_latest",
    "_submits",
    "_submits_of",
)
class LabelHistory(TrainingLabels):
    """All label events by `seq`, and the counts the schedule and the coverage figure need.

    What counts towards l(n) is what a fit would take now, so the count falls when a labeler is
    suspended or excluded and rises when one is cleared or reinstated.
    """

    def __init__(self, queries: Mapping[str, ComparisonQuery], config: QualityConfig) -> None:
        """Take the queries by id; those added to the mapping later are seen."""
        super().__init__(queries, config)
        self.events: list[LabelEvent] = []
        self.num_retracted = 0
        self.num_judged = 0
        """How many of the labels received are judges'."""
        self._sizes = array("i", [0])
        """How many labels the training set had after each event, by sequence number."""
        self._columns = LabelColumns()
        self._by_id: dict[str, LabelEvent] = {}
        self._latest: dict[str, LabelChange] = {}
        self._submits: list[Submitted] = []
        self._submits_of: dict[str, list[Submitted]] = defaultdict(list)

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

    def received_since(self, time: float, now: float) -> list[Submitted]:
        """Return the first answers received after `time` and up to `now`, newest first."""
        return list(_received(self._submits, time, now))

    def num_received_since(self, time: float, now: float, labeler_id: str | None = None) -> int:
        """Return how many those are: of all, or of one labeler."""
        submits = self._submits if labeler_id is None else self.submits_of(labeler_id)
        return sum(1 for _ in _received(submits, time, now))

    def labelers_since(self, time: float, now: float) -> set[str]:
        """Return who gave one of those, by looking at each labeler's last."""
        return {name for name, own in self._submits_of.items() if time < own[-1].received_at <= now}

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
        is_training, before = self.take(event), None
        if isinstance(event, Submitted):
            self.num_judged += self.standings[event.labeler_id].is_judge
        if isinstance(event, LabelChange):
            before = self._latest.get(event.label_id)
            self._latest[event.label_id] = event
        prefers = states_preference(event)
        self._columns.take(event, before, prefers=prefers, is_training=is_training)
        self._sizes.extend([self._sizes[-1]] * (event.seq - len(self._sizes)))
        self._sizes.append(len(self.training))
        return True

    def num_training(self, seq: int) -> int:
        """Return how many labels the training set had after the event of that sequence number."""
        return self._sizes[min(seq, len(self._sizes) - 1)]

    def table(self) -> LabelTable:
        """Return a snapshot of all labels in columns, without going through them."""
        standings = self.standings
        return self._columns.table(standings.__getitem__, standings.judges())


def _received(submits: Sequence[Submitted], time: float, now: float) -> Iterator[Submitted]:
    """Give the answers received after a time and up to now, newest first.

    Those of later are passed over: the clock was ahead, and was set back since.
    """
    for submit in reversed(submits):
        if submit.received_at <= time:
            return
        if submit.received_at <= now:
            yield submit
