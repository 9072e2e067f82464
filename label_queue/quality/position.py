"""Position: whether a labeler prefers what is shown first, whatever it says."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from label_queue.kept import kept
from label_queue.quality.preference import best_id
from protocol.labels import AnswerEvent, Assignment


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionBias:
    """How often the first shown was preferred, against chance."""

    z: float
    """Standard deviations from what random orders would give; 0 without labels."""
    num_labels: int
    """Labels that put one candidate first."""


@kept("_first", "_num_shown")
class FirstPlaces:
    """How often a labeler preferred the first shown, as their labels come and go.

    z = (L − Σ 1/K)/√(Σ 1/K·(1 − 1/K)), where L counts how often the first of K shown was preferred.
    The order shown is drawn at random, so whatever the labeler's taste, chance is 1/K. For n pairs
    this is (L − n/2)/(√n/2).
    """

    def __init__(self) -> None:
        self._first = 0
        self._num_shown: Counter[int] = Counter()
        """Labels by K."""

    def take(self, assignment: Assignment, label: AnswerEvent, by: int) -> None:
        """Take a label (1), or give back one that was taken (−1)."""
        best = best_id(label)
        if best is not None:
            self._first += by * (assignment.shown_order[0] == best)
            self._num_shown[len(assignment.shown_order)] += by

    def bias(self) -> PositionBias:
        """Return the bias by now."""
        by_k = sorted(self._num_shown.items())
        expected = math.fsum(count / k for k, count in by_k)
        variance = math.fsum(count / k * (1.0 - 1.0 / k) for k, count in by_k)
        z = (self._first - expected) / math.sqrt(variance) if variance > 0 else 0.0
        return PositionBias(z=z, num_labels=self._num_shown.total())
