"""The one definition of a percentile."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np


def percentile(values: Collection[float], share: float) -> float:
    """Return the value below which a share of the values lies, interpolated linearly.

    Args:
        values: At least one, in any order.
        share: In [0, 1].
    """
    return float(np.quantile(list(values), share))
