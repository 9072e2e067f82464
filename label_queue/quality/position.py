"""Position: whether a labeler prefers what is shown first, whatever it says."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from label_queue.quality.preference import best_id
from protocol.labels import AnswerEvent, Assignment


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionBias:
    """How often the first shown was preferred, against chance."""

    z: float
    """Standard deviations from what random orders would give; 0 without labels."""
    num_labels: int
    """Labels that put one candidate first."""


def position_bias(
    assignments: Mapping[str, Assignment], labels: Iterable[AnswerEvent]
) -> PositionBias:
    """Return z = (L − Σ 1/K)/√(Σ 1/K·(1 − 1/K)) of one labeler's labels.

    L counts how often the first of K shown was preferred. The order shown is drawn at random, so
    whatever the labeler's taste, chance is 1/K. For n pairs this is (L − n/2)/(√n/2).
    """
    first = total = 0
    expected = variance = 0.0
    for label in labels:
        best = best_id(label)
        if best is None:
            continue
        shown = assignments[label.assignment_id].shown_order
        chance = 1.0 / len(shown)
        first += shown[0] == best
        total += 1
        expected += chance
        variance += chance * (1.0 - chance)
    z = (first - expected) / math.sqrt(variance) if variance > 0 else 0.0
    return PositionBias(z=z, num_labels=total)
