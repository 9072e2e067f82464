"""How far a mean over seeds may be off."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import stdev


def standard_error(values: Sequence[float]) -> float:
    """Return the standard error of the values' mean; 0 of one value, which says nothing of it."""
    return stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
