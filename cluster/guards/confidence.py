"""How sure a correlation or a run of wins and losses is: small formulas, with sources."""

from __future__ import annotations

import math
from collections.abc import Sequence


def correlation_above(correlation: float, count: int, z: float) -> float:
    """Return the upper bound of a correlation of `count` pairs, `z` standard errors above.

    tanh(artanh r + z/√(n − 3)), Fisher 1921; 1 of fewer than four pairs.
    """
    if count < 4:
        return 1.0
    bounded = min(max(correlation, -1 + 1e-12), 1 - 1e-12)
    return math.tanh(math.atanh(bounded) + z / math.sqrt(count - 3))


def longest_fall(wins: Sequence[bool], worst_rate: float) -> tuple[float, int]:
    """Return the CUSUM of log-likelihood ratios of `worst_rate` against ½, and since when.

    S ← max(0, S + log(p(x)/½)) over the votes in order (Page 1954). While wins come at a rate of ½
    or above, e^S exceeds A in the mean no sooner than after A votes (Lorden 1971): each ratio has
    an expectation of at most 1.

    Returns:
        S after the last vote, and the index of the first vote that is counted in it.
    """
    total, begin = 0.0, 0
    for index, is_win in enumerate(wins):
        total += math.log(2 * (worst_rate if is_win else 1 - worst_rate))
        if total <= 0:
            total, begin = 0.0, index + 1
    return total, begin
