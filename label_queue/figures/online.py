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
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import accumulate, takewhile

from label_queue.config import QualityConfig
from label_queue.folds.lineage import Lines, Memories
from label_queue.folds.training import TrainingLabels
from label_queue.folds.view import LearnedLabels, LedgerView
from label_queue.kept import kept
from label_queue.percentile import percentile
from label_queue.quality.preference import TRAINING
from label_queue.shelf import each_of, names_since
from protocol.labels import ComparisonQuery, LabelChange

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
class Latency:
    """Time from a label's receipt to the first response of a policy that had learned it."""

    label_id: str
    seq: int
    """Sequence number of the revision that was learned first."""
    received_at: float
    """When the revision that was learned first was received, Unix seconds."""
    arrived_at: float
    """When the first response of a policy that had learned the label came, Unix seconds."""

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.arrived_at - self.received_at


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

    coverage_median: float | None
    latency_p50_s: float | None
    latency_p95_s: float | None


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
        self._covered: list[str] = []
        """Ids of the queries that have a coverage; below, when they were made, and what it is."""
        self._made_at, self._shares = array("d"), array("d")
        self._lines = Lines()
        self._arrivals = _Arrivals(self._lines)

    def first_sampled(self, version: int, at: float) -> None:
        """Note when the first response of a policy version came, Unix seconds. In any thread."""
        self._arrivals.first_sampled(version, at)

    def take(self, view: LedgerView, present: Set[str]) -> Online:
        """Return how online the run is, after what the ledger has grown by since the last call.

        Args:
            view: The ledger.
            present: Ids of the labels in its training set.
        """
        self.grow(view)
        covered = zip(self._covered, self._made_at, self._shares, strict=True)
        return Online(
            coverage=tuple(
                Coverage(query_id=query_id, created_at=at, share=share)
                for query_id, at, share in covered
            ),
            latencies=self._arrivals.latencies(),
            num_waiting=len(present - self._arrivals.labels()),
        )

    def summary(self) -> OnlineSummary:
        """Return the same in figures, as of the last call that grew, without going through all."""
        shares, seconds = self._shares, self._arrivals.seconds
        return OnlineSummary(
            coverage_median=percentile(shares, 0.50) if shares else None,
            latency_p50_s=percentile(seconds, 0.50) if seconds else None,
            latency_p95_s=percentile(seconds, 0.95) if seconds else None,
        )

    def shares(self) -> tuple[float, ...]:
        """Return the coverage of each query that has one, as of the last call that grew."""
        return tuple(self._shares)

    def grow(self, view: LedgerView) -> None:
        """Measure what it has grown by since the last call; in any thread, one at a time."""
        if new := self._new_queries(view):
            self._cover(new, view)
        self._arrivals.grow(view, self._learned)

    def _cover(self, new: Sequence[tuple[int, ComparisonQuery]], view: LedgerView) -> None:
        """Measure the coverage of queries, each with its place in the ledger."""
        learned = self._learned.by_reward(view)
        self._lines.grow_to(view.policies)
        for place, query in new:
            self._go_on_to(place, view)
            if training := self._past.training:
                version = self._trained_by(shown_version(query))
                share = self._overlap.count(version, learned, training) / len(training)
                self._shares.append(share)
                self._made_at.append(query.created_at)
                self._covered.append(query.query_id)

    def _trained_by(self, version: int) -> int:
        """Return the reward version that trained a policy version; 0 where none did."""
        known = self._lines.parents.get(newest_until(self._lines.versions, version))
        return 0 if known is None else known[0].reward_version

    def _new_queries(self, view: LedgerView) -> list[tuple[int, ComparisonQuery]]:
        """Return the queries that came since the last call and have a coverage, as they were made.

        With each, the sequence number of the newest label event before it. Before the first reward
        version there is nothing that could have been learned.
        """
        first = min(view.rewards, key=lambda each: each.version, default=None)
        if first is None:
            return []
        names = names_since(view.queries, self._num_queries)
        # Of a ledger that somebody writes meanwhile, a query may be read whose event is not.
        new = list(
            takewhile(
                lambda query: (query.ledger_seq or 0) <= view.last_seq,
                each_of(view.queries, names),
            )
        )
        self._num_queries += len(new)
        asked = [query for query in new if query.purpose in TRAINING]
        placed = zip(_places(asked, view), asked, strict=True)
        since = -math.inf if first.announced_at is None else first.announced_at
        counting = [
            (place, query)
            for place, query in placed
            if place >= first.ledger_seq and query.created_at >= since
        ]
        return sorted(counting, key=lambda each: (each[0], each[1].created_at))

    def _go_on_to(self, place: int, view: LedgerView) -> None:
        """Bring the training set of the past to the moment after an event."""
        past = self._past
        while self._num_events < len(view.events) and view.events[self._num_events].seq <= place:
            event = view.events[self._num_events]
            label_id = event.label_id if isinstance(event, LabelChange) else None
            was_in, num_moves = label_id in past.training, past.num_moves
            past.take(event)
            if past.num_moves > num_moves:
                self._overlap.forget()
            elif label_id is not None:
                self._overlap.changed(label_id, by=(label_id in past.training) - was_in)
            self._num_events += 1


@kept()
@dataclass(slots=True)
class _SinceRefit:
    """What was learned by a refit and the updates that go on from it, up to one of them."""

    through: int
    first_by: dict[str, int] = field(default_factory=dict)
    """The version that learned a label first, by label id."""
    in_training: Counter[int] = field(default_factory=Counter)
    """How many labels of the training set each version was the first to learn."""


@kept("_parts")
class _Overlap:
    """How many labels of a training set each reward version has learned, as both change."""

    def __init__(self) -> None:
        self._parts: OrderedDict[int, _SinceRefit] = OrderedDict()
        """Parts by the refit's version; those used last at the end."""

    def count(self, version: int, learned: Memories[str], training: Set[str]) -> int:
        """Return how many labels of the training set a version has learned; 0 of none."""
        if version not in learned.versions:
            return 0
        refit = learned.refit_of(version)
        part = self._parts.setdefault(refit, _SinceRefit(refit - 1))
        self._parts.move_to_end(refit)
        if len(self._parts) > PARTS_KEPT:
            self._parts.popitem(last=False)
        for each in learned.since_refit(version, after=part.through):
            for label_id in learned.own(each):
                if part.first_by.setdefault(label_id, each) == each and label_id in training:
                    part.in_training[each] += 1
            part.through = each
        return sum(count for each, count in part.in_training.items() if each <= version)

    def changed(self, label_id: str, *, by: int) -> None:
        """Note that a label entered the training set (1), left it (−1), or neither (0)."""
        for part in self._parts.values():
            if by and label_id in part.first_by:
                part.in_training[part.first_by[label_id]] += by

    def forget(self) -> None:
        """Count anew from now on: many labels entered or left."""
        self._parts.clear()


class _Arrivals:
    """When each label first reached a policy that was sampled."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._sampled: dict[int, float] = {}
        """When each policy version was first sampled."""
        self._told: list[int] = []
        """Policy versions in `_sampled` that were not gone through yet."""
        self._arrived: dict[int, float] = {}
        """When each policy version, or one that came from it, was first sampled."""
        self._reached: dict[int, float] = {}
        """When each reward version first reached a policy that was sampled."""
        self._through: dict[int, tuple[int, float]] = {}
        """The newest version that goes back to a refit whose labels all have arrived, and by when,
        by the refit's version."""
        self._places: dict[str, int] = {}
        """Where in the columns below a label's latency is, by label id, in their order."""
        self._seqs = array("q")
        self._received_at, self._arrived_at = array("d"), array("d")
        self.seconds = array("d")
        """Latencies of the labels that arrived."""

    def labels(self) -> Set[str]:
        """Return the ids of the labels that arrived."""
        return self._places.keys()

    def latencies(self) -> tuple[Latency, ...]:
        """Return the latencies of the labels that arrived, by `seq`."""
        rows = zip(self._places, self._seqs, self._received_at, self._arrived_at, strict=True)
        found = (
            Latency(label_id=name, seq=seq, received_at=received, arrived_at=arrived)
            for name, seq, received, arrived in rows
        )
        return tuple(sorted(found, key=lambda each: each.seq))

    def first_sampled(self, version: int, at: float) -> None:
        if at < self._sampled.get(version, math.inf):
            self._sampled[version] = at
            self._told.append(version)

    def grow(self, view: LedgerView, learned: LearnedLabels) -> None:
        """Take in what was told, and what the ledger has grown by since the last call."""
        moved = self._moved(view)
        if moved:
            memories = learned.seqs_by_reward(view)
            # What came by now came no later: each refit learns nearly all labels again.
            came: set[int] = set()
            for reward in sorted(moved & memories.versions, key=self._reached.__getitem__):
                at = self._reached[reward]
                arriving = self._arriving(reward, at, memories)
                for seq in sorted(arriving - came):
                    self._arrive(view.label_change(seq), at)
                came |= arriving

    def _arriving(self, reward: int, at: float, memories: Memories[int]) -> Set[int]:
        """Return what a reward version has learned, without what is known to have come before."""
        refit = memories.refit_of(reward)
        through, came_by = self._through.get(refit, (refit - 1, -math.inf))
        if reward <= through:
            return memories[reward]
        self._through[refit] = reward, at
        if at < came_by:
            return memories[reward]
        return frozenset().union(
            *(memories.own(each) for each in memories.since_refit(reward, after=through))
        )

    def _moved(self, view: LedgerView) -> set[int]:
        """Go through what was told; return the reward versions that arrived, or did so earlier.

        A policy version arrives with whatever comes from it: whoever is sampled brings along its
        whole line, of which only what had not come as early is gone through.
        """
        moved: set[int] = set()
        told, self._told = self._told, []
        self._lines.grow_to(view.policies)
        line_of, known = self._lines.parents, self._lines.versions
        for version in told:
            sampled_at = self._sampled[version]
            at: int | None = newest_until(known, version)
            while at in line_of and sampled_at < self._arrived.get(at, math.inf):
                self._arrived[at] = sampled_at
                policy, at = line_of[at]
                reward = 0 if policy.restored_from is not None else policy.reward_version
                if reward and sampled_at < self._reached.get(reward, math.inf):
                    self._reached[reward] = sampled_at
                    moved.add(reward)
        return moved

    def _arrive(self, label: LabelChange, at: float) -> None:
        place = self._places.get(label.label_id)
        if place is None:
            self._places[label.label_id] = len(self.seconds)
            self._seqs.append(label.seq)
            self._received_at.append(label.received_at)
            self._arrived_at.append(at)
            self.seconds.append(at - label.received_at)
        elif at < self._arrived_at[place]:
            self._seqs[place], self._arrived_at[place] = label.seq, at
            self._received_at[place] = label.received_at
            self.seconds[place] = at - label.received_at


def shown_version(query: ComparisonQuery) -> int:
    """Return the policy version that a query asks about, of its oldest candidate.

    Of a validation query half of the candidates are responses of ρ beside it: they do not count.
    """
    versions = sorted(candidate.policy_version for candidate in query.candidates)
    num_beside = len(versions) // 2 if query.purpose == "validation" else 0
    return versions[num_beside]


def newest_until(rising: Sequence[int], version: int) -> int:
    """Return the newest of some versions up to one; 0 where there is none.

    Where a crash kept a version out of the ledger, the one known before it stands for it.
    """
    at = bisect_right(rising, version)
    return rising[at - 1] if at else 0


def _places(queries: Sequence[ComparisonQuery], view: LedgerView) -> list[int]:
    """Return, for each query, the sequence number of the newest label event before it was made.

    A ledger that does not say is read by the clock.
    """
    if all(query.ledger_seq is not None for query in queries):
        return [query.ledger_seq for query in queries if query.ledger_seq is not None]
    times = list(accumulate((event.received_at for event in view.events), max))
    seqs = [0, *(event.seq for event in view.events)]

    def place(query: ComparisonQuery) -> int:
        by_clock = seqs[bisect_right(times, query.created_at)]
        return by_clock if query.ledger_seq is None else query.ledger_seq

    return [place(query) for query in queries]
