"""Self-agreement: how often a labeler answers the same query the same way twice."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from label_queue.kept import kept
from label_queue.quality.preference import stated_best
from protocol.labels import AnswerEvent, ComparisonQuery


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfAgreement:
    """How many of the queries asked twice were answered alike."""

    agreed: int = 0
    num_repeats: int = 0
    """Repeats of which both answers state a preference."""
    num_candidates: float = 2.0
    """K, the number of candidates; where queries differ in it, that of the mean 1/(K − 1)."""

    @property
    def share(self) -> float | None:
        """s; None before the first repeat."""
        return self.agreed / self.num_repeats if self.num_repeats else None

    @property
    def consistency(self) -> float | None:
        """p̂; None before the first repeat."""
        return None if self.share is None else consistency(self.share, self.num_candidates)


def is_alike(
    repeat: ComparisonQuery, again: AnswerEvent, query: ComparisonQuery, first: AnswerEvent
) -> bool | None:
    """Say whether a repeat was answered as the query was; None unless both state a preference.

    A repeat has its candidates in the order of the query it repeats, under other ids, so answers
    are alike if they name the same index, or are ties both.
    """
    second_best, first_best = stated_best(repeat, again), stated_best(query, first)
    if second_best is None or first_best is None:
        return None
    return second_best == first_best


@kept("_agreed", "_num_repeats")
class RepeatCounts:
    """One labeler's repeats, as answers come and go."""

    def __init__(self) -> None:
        self._agreed = 0
        self._num_repeats: Counter[int] = Counter()
        """Repeats by K − 1."""

    def take(self, is_alike: bool | None, repeat: ComparisonQuery, by: int) -> None:
        """Take what a repeat says (1), or give back what was taken of it (−1)."""
        if is_alike is not None:
            self._agreed += by * is_alike
            self._num_repeats[len(repeat.candidates) - 1] += by

    def agreement(self) -> SelfAgreement:
        """Return how many were answered alike by now."""
        total = self._num_repeats.total()
        if not total:
            return SelfAgreement()
        by_chance = math.fsum(count / others for others, count in self._num_repeats.items())
        # Σ p² + (1 − p)²/(K − 1) is that of one K, this, for all.
        k = 1.0 + total / by_chance
        return SelfAgreement(agreed=self._agreed, num_repeats=total, num_candidates=k)


def agreement(consistency: float, num_candidates: float) -> float:
    """Return s, how often two answers agree: p² + (1 − p)²/(K − 1), wrong ones spread evenly."""
    p = consistency
    return p**2 + (1.0 - p) ** 2 / (num_candidates - 1)


def consistency(share: float, num_candidates: float = 2) -> float:
    """Return p̂, how often one answer is the labeler's own best, from how often two agree.

    That is `agreement`, solved for p:
    (1 + √(1 − K·(1 − (K − 1)·s)))/K, which for pairs is (1 + √(2s − 1))/2. Less agreement than
    chance gives counts as chance, 1/K.
    """
    k = num_candidates
    under_root = 1.0 - k * (1.0 - (k - 1) * share)
    return (1.0 + math.sqrt(max(0.0, under_root))) / k
