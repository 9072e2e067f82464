"""How far people agree, and how sure a share is: small formulas with known sources."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import NormalDist

Z_95 = NormalDist().inv_cdf(0.975)
"""Two-sided 95 % quantile of the normal distribution."""


def wilson_bounds(successes: float, trials: float, z: float = Z_95) -> tuple[float, float]:
    """Return both bounds of a proportion, by default those of 95 %; (0, 1) of no trials.

    (p + z²/2n ± z·√(p(1−p)/n + z²/4n²)) / (1 + z²/n), Wilson 1927. `scipy.stats.binomtest` has the
    same for whole numbers alone; agreement with peers is a sum of shares, and ties may count half.
    """
    if trials == 0:
        return 0.0, 1.0
    share, z2 = successes / trials, z**2
    middle = share + z2 / (2 * trials)
    spread = z * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2))
    scale = 1 + z2 / trials
    return (middle - spread) / scale, (middle + spread) / scale


def nominal_alpha(units: Iterable[Sequence[str]]) -> float:
    """Return Krippendorff's α for nominal answers: 1 full agreement, 0 that of chance.

    α = 1 − (n − 1)·Σ_u Σ_{c≠k} n_uc·n_uk/(m_u − 1) / Σ_{c≠k} n_c·n_k over the units (queries)
    that two or more people answered (Krippendorff 2011, "Computing Krippendorff's
    Alpha-Reliability"). NaN when no two people answered one unit, or all answers are the same.
    Answers must mean the same in every unit: name a candidate by its index in the query, whose
    order is random, so that chance is 1/K.
    """
    totals: Counter[str] = Counter()
    disagreeing = 0.0
    for unit in units:
        if len(unit) < 2:
            continue
        counts = Counter(unit)
        totals.update(counts)
        pairs = len(unit) ** 2 - sum(count**2 for count in counts.values())
        disagreeing += pairs / (len(unit) - 1)
    n = totals.total()
    expected = n**2 - sum(count**2 for count in totals.values())
    return 1.0 - (n - 1) * disagreeing / expected if expected else math.nan
