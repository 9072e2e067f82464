"""The one definition of a percentile."""

from __future__ import annotations

import math
from collections.abc import Collection


def percentile(values: Collection[float], share: float) -> float:
    """Return the value below which a share of the values lies, interpolated linearly.

    Args:
        values: At least one, in any order.
        share: In [0, 1].
    """
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    low = math.floor(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (position - low) * (ordered[high] - ordered[low])
