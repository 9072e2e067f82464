"""Peers: how far a labeler agrees with the others who were asked the same."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from label_queue.kept import kept
from label_queue.quality.preference import TRAINING, stated_best
from protocol.labels import AnswerEvent, ComparisonQuery


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerAgreement:
    """A labeler beside all others on shared queries. People agree in 63 to 77 % as a rule."""

    share: float
    """Mean over the queries of the share of the others who gave the labeler's answer."""
    num_queries: int
    """Queries that somebody else answered too."""


def peer_agreement(
    queries: Mapping[str, ComparisonQuery], labels: Iterable[AnswerEvent]
) -> dict[str, PeerAgreement]:
    """Return each labeler's agreement with the others, leave-one-out, where a query is shared.

    Ties agree with ties, rankings by their first place. Gold is left out: agreeing on what is
    meant to be plain says little.

    Args:
        queries: All, by id.
        labels: Everybody's latest revisions.
    """
    answers: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for label in labels:
        if (answer := peer_answer(queries[label.query_id], label)) is not None:
            answers[label.query_id].append(answer)
    counts = PeerCounts()
    for given in answers.values():
        counts.take(given, 1)
    return counts.agreement()


def peer_answer(query: ComparisonQuery, label: AnswerEvent) -> tuple[str, int] | None:
    """Return who answered and what they put first; None of gold, and where it says nothing."""
    best = stated_best(query, label) if query.purpose in TRAINING else None
    return None if best is None else (label.labeler_id, best)


@kept("_agreeing", "_queries")
class PeerCounts:
    """Everybody's agreement with the others, as the answers to each query come and go."""

    def __init__(self) -> None:
        self._agreeing: dict[str, Counter[int]] = defaultdict(Counter)
        """By labeler: how many of the others gave their answer, by how many others there were."""
        self._queries: Counter[str] = Counter()

    def take(self, given: Sequence[tuple[str, int]], by: int) -> None:
        """Take all answers to one query (1), or give back what was taken of them (−1)."""
        if len(given) < 2:
            return
        tally = Counter(best for _, best in given)
        for labeler, best in given:
            self._agreeing[labeler][len(given) - 1] += by * (tally[best] - 1)
            self._queries[labeler] += by

    def agreement(self) -> dict[str, PeerAgreement]:
        """Return the agreement of everybody who shares a query."""
        return {
            name: PeerAgreement(share=self._total(name) / count, num_queries=count)
            for name, count in self._queries.items()
            if count
        }

    def _total(self, name: str) -> float:
        return math.fsum(alike / others for others, alike in sorted(self._agreeing[name].items()))


@kept("_shared", "_alike")
class PairCounts:
    """How often each two people gave the same answer, as the answers to each query come and go."""

    def __init__(self) -> None:
        self._shared: Counter[tuple[str, str]] = Counter()
        """Queries that both answered, by their names in order."""
        self._alike: Counter[tuple[str, str]] = Counter()

    def take(self, given: Iterable[tuple[str, int]], by: int) -> None:
        """Take all answers to one query (1), or give back what was taken of them (−1)."""
        for (first, said), (second, also) in combinations(sorted(given), 2):
            pair = first, second
            self._shared[pair] += by
            self._alike[pair] += by * (said == also)
            if not self._shared[pair]:
                del self._shared[pair], self._alike[pair]

    def names(self) -> list[str]:
        """Return everybody who shares a query with somebody, by name."""
        return sorted({name for pair in self._shared for name in pair})

    def between(self, one: str, other: str) -> PeerAgreement | None:
        """Return how far two people agree; None where they share no query."""
        pair = min(one, other), max(one, other)
        shared = self._shared.get(pair, 0)
        if not shared:
            return None
        return PeerAgreement(share=self._alike[pair] / shared, num_queries=shared)
