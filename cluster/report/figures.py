"""Small figures of what was recorded. The label side's are the live ones: see `LabelFigures`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, median
from typing import TypeVar

from label_queue.figures.percentile import percentile

T = TypeVar("T")


def last_part(values: Sequence[T], parts: int) -> Sequence[T]:
    """Return the last of `parts` equal parts, at least one value where there is any."""
    return values[-math.ceil(len(values) / parts) :] if values else values


def merged(intervals: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the union of closed intervals as disjoint ones, in order."""
    union: list[tuple[float, float]] = []
    for start, end in sorted(intervals):
        if union and start <= union[-1][1]:
            union[-1] = (union[-1][0], max(union[-1][1], end))
        else:
            union.append((start, end))
    return union


def mean_or_none(values: Sequence[float]) -> float | None:
    """Return the mean, or None of nothing."""
    return fmean(values) if values else None


def median_or_none(values: Sequence[float]) -> float | None:
    """Return the median, or None of nothing."""
    return median(values) if values else None


def percentile_or_none(values: Sequence[float], share: float) -> float | None:
    """Return the percentile, or None of nothing."""
    return percentile(values, share) if values else None
