"""Small figures of what was recorded. The label side's are the live ones: see `LabelFigures`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, median
from typing import TypeVar

from label_queue.percentile import percentile

T = TypeVar("T")


def last_part(values: Sequence[T], parts: int) -> Sequence[T]:
    """Return the last of `parts` equal parts, at least one value where there is any."""
    return values[-math.ceil(len(values) / parts) :] if values else values


def mean_or_none(values: Sequence[float]) -> float | None:
    """Return the mean, or None of nothing."""
    return fmean(values) if values else None


def median_or_none(values: Sequence[float]) -> float | None:
    """Return the median, or None of nothing."""
    return median(values) if values else None


def percentile_or_none(values: Sequence[float], share: float) -> float | None:
    """Return the percentile, or None of nothing."""
    return percentile(values, share) if values else None
