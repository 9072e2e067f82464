"""How far people agree, and how sure a share is: small formulas with known sources."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence


def wilson_lower(wins: int, total: int, z: float = 1.96) -> float:
    """Return the lower bound of Wilson's (1927) score interval; z 1.96 for 95 % on two sides.

    NaN when there is nothing to count.
    """
    if total == 0:
        return math.nan
    share = wins / total
    centre = share + z * z / (2 * total)
    spread = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return (centre - spread) / (1 + z * z / total)


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
