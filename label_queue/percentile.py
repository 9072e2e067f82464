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
