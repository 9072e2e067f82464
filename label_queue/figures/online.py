"""How online a run is: what people had said, and when the policy had learned it.

    coverage   of a query: the share of the training set at the moment it was made that the reward
               which trained its candidates' policy had learned
    latency    of a label: from its receipt to the first response sampled from a policy trained,
               itself or through an ancestor, on a reward that had learned it

Both follow the fits' own lists. The training set of a moment is that of the fits: a label of
somebody on probation enters it with the event that clears them, one that is retracted or excluded
leaves it, skips, gold and repeats are never in it. What the cap on a labeler's weight leaves out of
a fit is in the training set and not learned. The live figures and the report read this one fold.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import accumulate, islice, takewhile
from typing import Self

from label_queue.figures.arrivals import Arrivals, Latency
from label_queue.folds.lineage import Lines, Memories, newest_until
from label_queue.folds.training import TrainingLabels
from label_queue.folds.view import LearnedLabels, LedgerView
from label_queue.kept import kept
from label_queue.percentile import percentile
from label_queue.quality.preference import TRAINING
from label_queue.quality_config import QualityConfig
from label_queue.shelf import each_of, names_since
from protocol.labels import ComparisonQuery, LabelEvent

PARTS_KEPT = 2
"""Refits whose labels are kept at hand: queries come from the policies of the newest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How much of the training set the policy behind a query had learned when it was made."""

    query_id: str
    created_at: float
    share: float
    """Share of the training set that the policy had learned, in [0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Online:
    """How online a run was so far."""

    coverage: tuple[Coverage, ...]
    """Coverage of the queries made since the first reward version was announced, in the order in
    which they were made; those made while there was no training set have none."""
    latencies: tuple[Latency, ...]
    """Latencies of the labels that reached a policy which was sampled, by `seq`."""
    num_waiting: int
    """Labels of the present training set that reached no sampled policy yet, and so have no
    latency."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineSummary:
    """How online a run was so far, in figures; None where there is nothing yet to say it from."""

    coverage_median: float | None = None
    latency_p50_s: float | None = None
    latency_p95_s: float | None = None

    @classmethod
    def of(cls, shares: array[float], seconds: array[float]) -> Self:
        """Return the figures of coverage and latencies; with very many it takes a while."""
        return cls(
            coverage_median=percentile(shares, 0.50) if shares else None,
            latency_p50_s=percentile(seconds, 0.50) if seconds else None,
            latency_p95_s=percentile(seconds, 0.95) if seconds else None,
        )


@kept("_past", "_overlap", "_num_queries", "_num_events", "_covered", "_made_at", "_shares")
class OnlineFold:
    """Measures a ledger that grows, and the moments at which policy versions were first sampled.

    What was measured is kept: a query's coverage never changes once it was made.
    """

    def __init__(
        self,
        queries: Mapping[str, ComparisonQuery],
        learned: LearnedLabels,
        config: QualityConfig,
    ) -> None:
        """Take the queries by id, and the fits' lists; queries added later are seen."""
        self._past = TrainingLabels(queries, config)
        self._learned = learned
        self._overlap = _Overlap()
        self._num_queries = 0
        self._num_events = 0
        self._covered = array("i")
        """Which queries have a coverage, by their places; below, when they were made, and what it
        is."""
        self._made_at, self._shares = array("d"), array("d")
        self._lines = Lines()
        self._arrivals = Arrivals(self._lines)
        self.summary = OnlineSummary()
        """All of it in figures, as of the last call that grew."""

    def first_sampled(self, version: int, at: float) -> None:
        """Note when the first response of a policy version came, Unix seconds. In any thread."""
        self._arrivals.first_sampled(version, at)

    def take(self, view: LedgerView, present: Set[int]) -> Online:
        """Return how online the run is, after what the ledger has grown by since the last call.

        Args:
            view: The ledger.
            present: Rows of the labels in its training set.
        """
        self.grow(view)
        covered = zip(self._covered, self._made_at, self._shares, strict=True)
        names = names_since(view.queries, 0) if self._covered else ()
        return Online(
            coverage=tuple(
                Coverage(query_id=names[place], created_at=at, share=share)
                for place, at, share in covered
            ),
            latencies=self._arrivals.latencies(view),
            num_waiting=sum(not self._arrivals.has(row) for row in present),
        )

    def shares(self) -> tuple[float, ...]:
        """Return the coverage of each query that has one, as of the last call that grew."""
        return tuple(self._shares)

    def grow(self, view: LedgerView) -> None:
        """Measure what it has grown by since the last call; in any thread, one at a time."""
        if new := self._new_queries(view):
            self._cover(new, view)
        # After a start from a snapshot there is something to say before anything is new.
        if self._arrivals.grow(view, self._learned) or new or self.summary == OnlineSummary():
            self.summary = OnlineSummary.of(self._shares, self._arrivals.seconds)

    def _cover(self, new: Sequence[_Asked], view: LedgerView) -> None:
        """Measure the coverage of queries."""
        learned = self._learned.rows_by_reward(view)
        self._lines.grow_to(view.policies)
        events = view.read(range(self._num_events + 1, len(view.events) + 1))
        for asked in new:
            self._go_on_to(asked.seq, events, view)
            if num_training := self._past.num_preferences:
                version = self._trained_by(asked.version)
                count = self._overlap.count(version, learned, self._past.trains)
                self._shares.append(count / num_training)
                self._made_at.append(asked.created_at)
                self._covered.append(asked.place)

    def _trained_by(self, version: int) -> int:
        """Return the reward version that trained a policy version; 0 where none did."""
        known = self._lines.parents.get(newest_until(self._lines.versions, version))
        return 0 if known is None else known[0].reward_version

    def _new_queries(self, view: LedgerView) -> list[_Asked]:
        """Return the queries that came since the last call and have a coverage, as they were made.

        Before the first reward version there is nothing that could have been learned.
        """
        first = min(view.rewards, key=lambda each: each.version, default=None)
        if first is None:
            return []
        since = -math.inf if first.announced_at is None else first.announced_at
        seq_before = _SeqBefore(view)
        asked: list[_Asked] = []
        for query in each_of(view.queries, names_since(view.queries, self._num_queries)):
            # Of a ledger that somebody writes meanwhile, a query may be read whose event is not.
            if (query.ledger_seq or 0) > view.last_seq:
                break
            if query.purpose in TRAINING and query.created_at >= since:
                one = _Asked(
                    place=self._num_queries,
                    seq=seq_before(query),
                    created_at=query.created_at,
                    version=shown_version(query),
                )
                if one.seq >= first.ledger_seq:
                    asked.append(one)
            self._num_queries += 1
        # Those of one moment as they were written: whoever looks more often has them so as well,
        # and the clock may have been set back.
        return sorted(asked, key=lambda each: each.seq)

    def _go_on_to(self, seq: int, events: Iterator[LabelEvent], view: LedgerView) -> None:
        """Bring the training set of the past to the moment after an event, by the next of them."""
        past, count = self._past, min(seq, len(view.events))
        for event in islice(events, max(0, count - self._num_events)):
            row = view.columns.label[event.seq]
            num_before, num_moves = past.num_preferences, past.num_moves
            past.take(event)
            if past.num_moves > num_moves:
                self._overlap.forget()
            else:
                self._overlap.changed(row, by=past.num_preferences - num_before)
        self._num_events = max(self._num_events, count)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A query that has a coverage, without its texts."""

    place: int
    """Which query it is, from 0."""
    seq: int
    """The sequence number of the newest label event before it."""
    created_at: float
    version: int
    """See `shown_version`."""


@kept()
@dataclass(slots=True)
class _SinceRefit:
    """What was learned by a refit and the updates that go on from it, up to one of them."""

    through: int
    first_by: array[int] = field(default_factory=lambda: array("i"))
    """The version that learned a label first, by the label's row; 0 where none did."""
    in_training: Counter[int] = field(default_factory=Counter)
    """How many labels of the training set each version was the first to learn; they rise."""
    num_training: int = 0
    """How many that is in all."""

    def learn(self, row: int, version: int, *, trains: bool) -> None:
        """Note that a version learned a label, which is in the training set or not."""
        self.first_by.extend([0] * (row + 1 - len(self.first_by)))
        if not self.first_by[row]:
            self.first_by[row] = version
            self.in_training[version] += trains
            self.num_training += trains

    def changed(self, row: int, by: int) -> None:
        """Note that a label entered the training set (1), left it (−1), or neither (0)."""
        if by and row < len(self.first_by) and self.first_by[row]:
            self.in_training[self.first_by[row]] += by
            self.num_training += by

    def count(self, version: int) -> int:
        """Return how many labels of the training set were learned up to a version.

        Only those of later versions are gone through: it is one of the newest that is asked for.
        """
        later = takewhile(lambda each: each > version, reversed(self.in_training))
        return self.num_training - sum(self.in_training[each] for each in later)


@kept("_parts")
class _Overlap:
    """How many labels of a training set each reward version has learned, as both change."""

    def __init__(self) -> None:
        self._parts: OrderedDict[int, _SinceRefit] = OrderedDict()
        """Parts by the refit's version; those used last at the end."""

    def count(self, version: int, learned: Memories[int], trains: Callable[[int], bool]) -> int:
        """Return how many labels of the training set a version has learned; 0 of none.

        `trains` says of a label, by its row, whether it is in the training set.
        """
        if version not in learned.versions:
            return 0
        refit = learned.refit_of(version)
        part = self._parts.setdefault(refit, _SinceRefit(refit - 1))
        self._parts.move_to_end(refit)
        if len(self._parts) > PARTS_KEPT:
            self._parts.popitem(last=False)
        for each in learned.since_refit(version, after=part.through):
            for row in learned.own(each):
                part.learn(row, each, trains=trains(row))
            part.through = each
        return part.count(version)

    def changed(self, row: int, *, by: int) -> None:
        """Note that a label entered the training set (1), left it (−1), or neither (0)."""
        for part in self._parts.values():
            part.changed(row, by)

    def forget(self) -> None:
        """Count anew from now on: many labels entered or left."""
        self._parts.clear()


def shown_version(query: ComparisonQuery) -> int:
    """Return the policy version that a query asks about, of its oldest candidate.

    Of a validation query half of the candidates are responses of ρ beside it: they do not count.
    """
    versions = sorted(candidate.policy_version for candidate in query.candidates)
    num_beside = len(versions) // 2 if query.purpose == "validation" else 0
    return versions[num_beside]


class _SeqBefore:
    """The sequence number of the newest label event before a query was made.

    A ledger that does not say is read by the clock, which may have been set back.
    """

    def __init__(self, view: LedgerView) -> None:
        self._view = view
        self._times: list[float] | None = None

    def __call__(self, query: ComparisonQuery) -> int:
        if query.ledger_seq is not None:
            return query.ledger_seq
        if self._times is None:
            received_at = self._view.columns.received_at[1 : self._view.last_seq + 1]
            self._times = list(accumulate(received_at, max))
        return bisect_right(self._times, query.created_at)
