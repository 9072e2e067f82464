"""A snapshot of a ledger, so that questions about it are pure functions, in whatever thread."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Self, cast

import numpy as np

from label_queue.folds.dataset import TrainingFold, build_dataset, current_labels
from label_queue.folds.event_log import EventLog, Picked
from label_queue.folds.history import LabelHistory
from label_queue.folds.label_table import EventColumns, LabelTable
from label_queue.folds.lineage import Memories
from label_queue.ledger.records import Ledger
from label_queue.quality.given import Bools, Ints
from label_queue.quality.weights import capped
from label_queue.quality_config import QualityConfig
from protocol.fits import Comparison, DatasetRules, RewardVersion
from protocol.labels import (
    AnswerEvent,
    Assignment,
    ComparisonQuery,
    LabelEvent,
    PolicyProvenance,
)
from protocol.seq_ranges import SeqRanges, as_ranges, numbers_in


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerView:
    """What a ledger contained at one moment."""

    queries: Mapping[str, ComparisonQuery]
    assignments: Mapping[str, Assignment]
    events: Sequence[LabelEvent]
    """Label events, by `seq`."""
    columns: EventColumns
    """What never changes of the events; there may be later ones."""
    rewards: tuple[RewardVersion, ...]
    policies: tuple[PolicyProvenance, ...]

    @classmethod
    def of(cls, ledger: Ledger) -> Self:
        """Read a whole ledger."""
        events = tuple(ledger.events())
        return cls(
            queries={query.query_id: query for query in ledger.queries()},
            assignments={each.assignment_id: each for each in ledger.assignments()},
            events=events,
            columns=EventColumns.of(events),
            rewards=tuple(ledger.read(RewardVersion)),
            policies=tuple(ledger.read(PolicyProvenance)),
        )

    @property
    def last_seq(self) -> int:
        """The newest event's place; 0 before the first."""
        return self.events[-1].seq if self.events else 0

    def answers(self, table: LabelTable, rows: Bools) -> list[AnswerEvent]:
        """Return some labels as they stand, by `seq`.

        Args:
            table: The view's labels in columns.
            rows: [S], labels of the table that stand.
        """
        return list(self.read_answers(np.sort(table.stands[rows]).tolist()))

    def read_answers(self, seqs: Iterable[int]) -> Iterator[AnswerEvent]:
        """Yield the events of some numbers, which state answers; see `read`."""
        return cast(Iterator[AnswerEvent], self.read(seqs))

    def read(self, seqs: Iterable[int]) -> Iterator[LabelEvent]:
        """Yield the events of some numbers, in their order; those on disk are read together."""
        if isinstance(self.events, EventLog | Picked):
            return self.events.each(seqs)
        return (self.events[seq - 1] for seq in seqs)

    def counting(self, table: LabelTable) -> list[AnswerEvent]:
        """Return the labels that count, as they stand, by `seq`; `table` is the view's."""
        return self.answers(table, table.counting())

    @property
    def live_reward(self) -> RewardVersion | None:
        """The newest reward version; None before the first."""
        return max(self.rewards, key=lambda each: each.version, default=None)

    @property
    def newest_policy(self) -> int:
        """The newest policy version; 0 is ρ."""
        return max((policy.version for policy in self.policies), default=0)

    def dataset(self, seq: int, config: QualityConfig) -> tuple[Comparison, ...]:
        """Return the training set at a sequence number."""
        return build_dataset(self.queries, self.events, seq, DatasetRules(), config)

    def labels(self) -> dict[str, AnswerEvent]:
        """Return the current labels, by id."""
        return current_labels(self.events)


def events_in(ranges: Ints, size: int) -> Bools:
    """Return [size], the numbers that some ranges hold, [n, 2], both ends in it."""
    marks = np.zeros(size + 1, dtype=np.int64)
    np.add.at(marks, ranges[:, 0], 1)
    np.add.at(marks, ranges[:, 1] + 1, -1)
    held: Bools = np.cumsum(marks[:-1]) > 0
    return held


class LearnedLabels:
    """Which labels each reward version learned, by the fits' own lists.

    A label that was held, left out by the cap, or said nothing to learn from is on no list,
    whatever its sequence number. Of one ledger: what was found is kept, since no list ever changes.
    Where a ledger does not say a list, it is worked out as the fit worked it out.
    """

    def __init__(self, config: QualityConfig) -> None:
        """Take how the run's labelers are judged, for versions that came without a list."""
        self._config = config
        self._finding = threading.Lock()
        self._lists: dict[int, SeqRanges] = {}
        self._ranges = array("q")
        """The lists again, flat: version, first and last of each range."""
        self._seqs = Memories[int]((), self._own_seqs)
        self._rows = self._seqs.by(self._own_rows)
        self._rewards: Sequence[RewardVersion] = ()
        """The versions that these two are of."""
        self._columns = EventColumns()

    def table(self, view: LedgerView) -> LabelTable:
        """Return a view's labels in columns, by going through them."""
        history = LabelHistory(view.queries, self._config)
        for event in view.events:
            history.apply(event)
        return history.table()

    def learned(self, view: LedgerView, version: int, table: LabelTable) -> Bools:
        """Return [S], the labels of the view's table that a reward version has learned."""
        return table.labels_of(self.learned_events(view, version, len(table.label)))

    def learned_events(self, view: LedgerView, version: int, size: int) -> Bools:
        """Return [size], by number, the events of labels that a reward version has learned.

        Of a label that was revised, those of all revisions that it learned.
        """
        rewards, ranges = self._ranges_of(view)
        since = rewards.refit_of(version) <= ranges[:, 0]
        return events_in(ranges[since & (ranges[:, 0] <= version), 1:], size)

    def touching(self, view: LedgerView, table: LabelTable, labels: Bools) -> tuple[int, ...]:
        """Return the reward versions that learned any of some labels, [S], rising."""
        rewards, ranges = self._ranges_of(view)
        events_before = np.concatenate([[0], np.cumsum(labels[table.label])])
        hits = events_before[ranges[:, 2] + 1] > events_before[ranges[:, 1]]
        learners = frozenset(ranges[hits, 0].tolist())
        return rewards.going_on_from(lambda version: version in learners)

    def _ranges_of(self, view: LedgerView) -> tuple[Memories[int], Ints]:
        """Return the view's reward versions, and the ranges of their lists, [n, 3]."""
        rewards = self.seqs_by_reward(view)
        ranges = np.array(self._ranges, dtype=np.int64).reshape(-1, 3)
        return rewards, ranges[np.isin(ranges[:, 0], list(rewards))]

    def rows_by_reward(self, view: LedgerView) -> Memories[int]:
        """Return, for each reward version, the rows of the labels it learned.

        A label has its row at the number of its first event.
        """
        return self._memories(view)[1]

    def seqs_by_reward(self, view: LedgerView) -> Memories[int]:
        """Return, for each reward version, the sequence numbers of what it learned.

        Of a label that was revised, those of all revisions that it learned.
        """
        return self._memories(view)[0]

    def _own_seqs(self, version: int) -> Iterator[int]:
        return numbers_in(self._lists[version])

    def _own_rows(self, version: int) -> Iterator[int]:
        return (self._columns.label[seq] for seq in numbers_in(self._lists[version]))

    def _memories(self, view: LedgerView) -> tuple[Memories[int], Memories[int]]:
        """Return what a view's versions learned, by sequence numbers and by the labels' rows.

        In whatever thread: the lists of the versions that came since the last call are taken in
        first.
        """
        with self._finding:
            self._columns = view.columns
            self._find_new_lists(view)
            if self._rewards != view.rewards:
                self._seqs = self._seqs.grown_to(view.rewards)
                self._rows = self._seqs.by(self._own_rows)
                self._rewards = view.rewards
            return self._seqs, self._rows

    def _find_new_lists(self, view: LedgerView) -> None:
        # They rise: what came since is at the end.
        since = takewhile(lambda each: each.version not in self._lists, reversed(view.rewards))
        new = list(since)[::-1]
        if not new:
            return
        unsaid = [reward for reward in new if reward.learned is None]
        lists = self._work_out(view, unsaid) if unsaid else {}
        for reward in new:
            said = lists[reward.version] if reward.learned is None else reward.learned
            self._lists[reward.version] = said
            for first, last in said:
                self._ranges.extend((reward.version, first, last))

    def _work_out(self, view: LedgerView, rewards: Sequence[RewardVersion]) -> dict[int, SeqRanges]:
        """Return, by version, the training sets under the cap, in one pass over the events.

        For a warm update that is more than its list, and not more than it and those before learned.
        """
        fold = TrainingFold(view.queries, DatasetRules(), self._config)
        events, found = iter(view.events), {}
        event = next(events, None)
        for reward in sorted(rewards, key=lambda each: each.ledger_seq):
            while event is not None and event.seq <= reward.ledger_seq:
                fold.apply(event)
                event = next(events, None)
            fitted = capped(fold.labels(), dict(reward.labeler_weights), self._config)
            found[reward.version] = as_ranges(label.seq for label in fitted)
        return found
