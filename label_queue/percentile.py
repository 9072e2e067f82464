"""The one definition of a percentile."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np


def percentile(values: Sequence[float] | array[float], share: float) -> float:
    """Return the value below which a share of the values lies, interpolated linearly.

    Args:
        values: At least one, in any order.
        share: In [0, 1].
    """
    return float(np.quantile(np.asarray(values), share))


def percentile_of_sorted(values: Sequence[float], share: float) -> float:
    """Return the same of values that lie in order already, at a hundredth of the cost.

    Args:
        values: At least one, rising.
        share: In [0, 1].
    """
    place = share * (len(values) - 1)
    below = int(place)
    above = min(below + 1, len(values) - 1)
    return values[below] + (values[above] - values[below]) * (place - below)
