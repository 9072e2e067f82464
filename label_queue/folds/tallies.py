"""What the estimators count, kept as label events come: no labels are gone through at a look."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from itertools import chain, islice
from typing import Self, cast

from label_queue.folds.history import LabelHistory
from label_queue.kept import kept
from label_queue.name_index import NameIndex
from label_queue.quality.doubt import NUM_REPEATS
from label_queue.quality.peers import PairCounts, PeerCounts, peer_answer
from label_queue.quality.position import FirstPlaces
from label_queue.quality.preference import TIE
from label_queue.quality.self_agreement import RepeatCounts, is_alike
from label_queue.quality.speed import Speed, is_fast
from label_queue.quality.tally import Tally
from label_queue.quality_config import QualityConfig
from protocol.labels import (
    AnswerEvent,
    Assignment,
    ComparisonQuery,
    GoldEvent,
    LabelChange,
    LabelEvent,
    Submitted,
)


@kept()
@dataclass(slots=True, kw_only=True)
class _Labeler:
    """What is counted of one labeler."""

    num_labels: int = 0
    last_label_at: float | None = None
    timed: Counter[bool] = field(default_factory=Counter)
    """First answers that need reading, by whether they came too fast."""
    places: FirstPlaces = field(default_factory=FirstPlaces)
    repeats: RepeatCounts = field(default_factory=RepeatCounts)
    alike: dict[str, bool | None] = field(default_factory=dict)
    """What is counted of each repeat, by its query."""
    repeats_of: dict[str, set[str]] = field(default_factory=dict)
    """Repeats that were answered, by the query that they repeat."""


@kept("_stands", "_newest_on", "_before", "_labelers", "_peers", "pairs", "_disputed", "_agreed")
class Tallies:
    """Everybody's counts, and the queries on which people differ."""

    def __init__(
        self,
        queries: Mapping[str, ComparisonQuery],
        assignments: Mapping[str, Assignment],
        history: LabelHistory,
        config: QualityConfig,
    ) -> None:
        """Take queries and assignments by id; those added to the mappings later are seen.

        `history` has taken each event by the time that it is counted.
        """
        self._queries = queries
        self._assignments = assignments
        self._history = history
        self._config = config
        self._stands = array("i", [0])
        """The number of the answer by which each label stands, by its row; 0 where by none."""
        self._newest_on = NameIndex()
        """The row of the newest label on each query, whether it stands or not."""
        self._before = array("i", [0])
        """The row of the label before each on its query, by its row; 0 where there is none."""
        self._labelers: dict[str, _Labeler] = defaultdict(_Labeler)
        self._peers = PeerCounts()
        self.pairs = PairCounts()
        """Who agrees with whom."""
        self._disputed: dict[str, int] = {}
        """Queries on which people differ, with the sequence number of the newest answer."""
        self._agreed: dict[str, tuple[int, int]] = {}
        """Queries of which all put the same first: how many they are, and the newest answer."""

    @classmethod
    def of(
        cls,
        queries: Mapping[str, ComparisonQuery],
        assignments: Mapping[str, Assignment],
        events: Iterable[LabelEvent],
        config: QualityConfig,
    ) -> Self:
        """Count all events, in order."""
        history = LabelHistory(queries, config)
        tallies = cls(queries, assignments, history, config)
        for event in events:
            if history.apply(event):
                tallies.apply(event)
        return tallies

    def apply(self, event: LabelEvent) -> None:
        """Take the next event that took effect."""
        if isinstance(event, GoldEvent):
            return
        own = self._labelers[event.labeler_id]
        if isinstance(event, Submitted):
            self._take_first(own, event)
        if isinstance(event, LabelChange):
            self._take_change(own, event)

    def snapshot(self) -> dict[str, Tally]:
        """Return everybody's counts, by name, whom any event names."""
        peers = self._peers.agreement()
        return {
            name: Tally(
                num_labels=own.num_labels,
                last_label_at=own.last_label_at,
                of_speed=Speed(fast=own.timed[True], num_labels=own.timed.total()),
                of_position=own.places.bias(),
                of_self=own.repeats.agreement(),
                of_peers=peers.get(name),
            )
            for name, own in self._labelers.items()
        }

    def newest_repeats(self, labeler_id: str) -> list[tuple[int, bool]]:
        """Return somebody's newest repeats, newest first, without reading them.

        Of each the sequence number when first given, and whether it was answered as before.
        """
        own = self._labelers.get(labeler_id)
        if own is None:
            return []
        newest = islice(reversed(own.alike.items()), NUM_REPEATS)
        return [
            (self._rows_by(labeler_id, repeat_id)[0], is_alike)
            for repeat_id, is_alike in newest
            if is_alike is not None
        ]

    def labels(self) -> Iterator[AnswerEvent]:
        """Give all labels as they stand, in the order in which they were first given."""
        return self._read(seq for seq in self._stands if seq)

    def disputed(self, limit: int) -> list[list[AnswerEvent]]:
        """Return the answers to the newest queries on which people differ, newest first."""
        newest = nlargest(limit, self._disputed, key=self._disputed.__getitem__)
        return [self.labels_by(query_id) for query_id in newest]

    def agreed(
        self, offset: int, limit: int, is_wanted: Callable[[str], bool]
    ) -> tuple[list[list[AnswerEvent]], int]:
        """Return the answers to queries of which several people all put the same response first.

        Those of the most people come first, then the newest. Also returns how many there are.

        Args:
            offset: How many to pass over.
            limit: How many to return at most.
            is_wanted: Whether a query is to be among them, by its id.
        """
        wanted = [query_id for query_id in self._agreed if is_wanted(query_id)]
        best = nlargest(offset + limit, wanted, key=self._agreed.__getitem__)
        return [self.labels_by(query_id) for query_id in best[offset:]], len(wanted)

    def labels_on(self, query_id: str) -> Iterator[AnswerEvent]:
        """Give all labels on a query as they stand, whatever they say; the query is not read."""
        stands = (self._stands[row] for row in self._rows_on(query_id))
        return self._read([seq for seq in stands if seq])

    def first_answer(self, labeler_id: str, query_id: str) -> Submitted | None:
        """Return a labeler's first answer to a query, whatever became of it, or None."""
        own = self._rows_by(labeler_id, query_id)
        return self._history.first_answer(own[0]) if own else None

    def disputed_by(self, labeler_id: str) -> list[int]:
        """Return the rows of somebody's labels on queries on which people differ, rising."""
        own = (self._rows_by(labeler_id, query_id) for query_id in self._disputed)
        return sorted(chain.from_iterable(own))

    def labels_by(self, query_id: str) -> list[AnswerEvent]:
        """Return the labels on a query that say what is best; none of gold or repeats."""
        return [label for label, _ in self._answers(query_id)]

    def _take_first(self, own: _Labeler, submit: Submitted) -> None:
        query = self._queries[submit.query_id]
        assignment = self._assignments[submit.assignment_id]
        own.last_label_at = submit.received_at
        fast = is_fast(query, assignment, submit, self._config.fast_tokens_per_s)
        if fast is not None:
            own.timed[fast] += 1

    def _take_change(self, own: _Labeler, event: LabelChange) -> None:
        row = self._row(event)
        before = self._answer(self._stands[row])
        assignment = self._assignments[event.assignment_id]
        self._take_answers(self._answers(event.query_id), -1)
        if before is not None:
            own.places.take(assignment, before, -1)
            own.num_labels -= 1
        self._stands[row] = event.seq if isinstance(event, AnswerEvent) else 0
        if isinstance(event, AnswerEvent):
            own.places.take(assignment, event, 1)
            own.num_labels += 1
        answers = self._answers(event.query_id)
        self._take_answers(answers, 1)
        self._note_agreement(event.query_id, answers)
        self._compare(own, event)

    def _take_answers(
        self, answers: Sequence[tuple[AnswerEvent, tuple[str, int]]], by: int
    ) -> None:
        given = [answer for _, answer in answers]
        self._peers.take(given, by)
        self.pairs.take(given, by)

    def _note_agreement(
        self, query_id: str, answers: Sequence[tuple[AnswerEvent, tuple[str, int]]]
    ) -> None:
        """Note whether people differ on a query, or several agree on what is best."""
        self._disputed.pop(query_id, None)
        self._agreed.pop(query_id, None)
        firsts = {best for _, (_, best) in answers}
        newest = max((label.seq for label, _ in answers), default=0)
        if len(firsts) > 1:
            self._disputed[query_id] = newest
        elif len(answers) > 1 and TIE not in firsts:
            self._agreed[query_id] = len(answers), newest

    def _row(self, event: LabelChange) -> int:
        """Return the row of an event's label; note its query, if it is the label's first."""
        row = self._history.row_of(event.label_id)
        assert row is not None, "the history has taken it"
        while len(self._stands) <= row:
            self._stands.append(0)
            self._before.append(0)
        if row == event.seq:
            self._before[row] = self._newest_on.get(event.query_id) or 0
            self._newest_on.set(event.query_id, row)
        return row

    def _rows_on(self, query_id: str) -> list[int]:
        """Return the rows of all labels on a query, in the order in which they were given."""
        rows = []
        row = self._newest_on.get(query_id) or 0
        while row:
            rows.append(row)
            row = self._before[row]
        return rows[::-1]

    def _rows_by(self, labeler_id: str, query_id: str) -> list[int]:
        columns = self._history.columns
        return [row for row in self._rows_on(query_id) if columns.is_by(row, labeler_id)]

    def _answer(self, seq: int) -> AnswerEvent | None:
        return next(self._read([seq]), None) if seq else None

    def _read(self, seqs: Iterable[int]) -> Iterator[AnswerEvent]:
        return cast(Iterator[AnswerEvent], self._history.events.each(seqs))

    def _answers(self, query_id: str) -> list[tuple[AnswerEvent, tuple[str, int]]]:
        """Return the labels on a query that say what is best, with what peers see of each."""
        query = self._queries[query_id]
        answers = ((label, peer_answer(query, label)) for label in self.labels_on(query_id))
        return [(label, answer) for label, answer in answers if answer is not None]

    def _compare(self, own: _Labeler, event: LabelChange) -> None:
        """Compare anew the repeats that a change of a label has to do with."""
        query = self._queries[event.query_id]
        if query.purpose == "repeat" and query.repeat_of is not None:
            own.repeats_of.setdefault(query.repeat_of, set()).add(query.query_id)
            self._compare_one(own, query, event.labeler_id)
        for repeat_id in own.repeats_of.get(event.query_id, ()):
            self._compare_one(own, self._queries[repeat_id], event.labeler_id)

    def _compare_one(self, own: _Labeler, repeat: ComparisonQuery, labeler_id: str) -> None:
        own.repeats.take(own.alike.get(repeat.query_id), repeat, -1)
        first = self._label_by(labeler_id, repeat.repeat_of or "")
        again = self._label_by(labeler_id, repeat.query_id)
        found = None
        if first is not None and again is not None:
            found = is_alike(repeat, again, self._queries[first.query_id], first)
        own.alike[repeat.query_id] = found
        own.repeats.take(found, repeat, 1)

    def _label_by(self, labeler_id: str, query_id: str) -> AnswerEvent | None:
        """Return a labeler's label on a query as it stands, or None; of several the last given."""
        stands = [self._stands[row] for row in self._rows_by(labeler_id, query_id)]
        return self._answer(next((seq for seq in reversed(stands) if seq), 0))
