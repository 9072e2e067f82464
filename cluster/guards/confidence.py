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


def longest_fall(wins: Sequence[float], worst_rate: float) -> tuple[float, int]:
    """Return the CUSUM of log-likelihood ratios of `worst_rate` against ½, and since when.

    S ← max(0, S + log(p(x)/½)) over what was asked, in order (Page 1954). While wins come at a rate
    of ½ or above, e^S exceeds A in the mean no sooner than after A of them (Lorden 1971): each
    ratio has an expectation of at most 1. So has e to the mean of several on one question, however
    alike they are, since e^x is convex.

    Args:
        wins: 1 for a win and 0 for a loss, or the share of wins where several were asked the same.
        worst_rate: p(win).

    Returns:
        S at the end, and the index of the first that is counted in it.
    """
    of_win, of_loss = math.log(2 * worst_rate), math.log(2 * (1 - worst_rate))
    total, begin = 0.0, 0
    for index, share in enumerate(wins):
        total += share * of_win + (1 - share) * of_loss
        if total <= 0:
            total, begin = 0.0, index + 1
    return total, begin
