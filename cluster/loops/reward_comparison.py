"""Old and new rewards on the same sequences: is the difference one to go on with?

After an exclusion the reward is fitted again without the labels taken back. Where the two rank
recent rollouts alike, little harm was done; where they do not, the policy was trained towards
something that nobody meant.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

Verdict = Literal["go_on", "alert", "pull"]

GO_ON_FROM = 0.95
ALERT_FROM = 0.8


def pearson_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Return Pearson's r of two lists of [N] scores; None where it is not defined.

    It is not for fewer than two scores, or where one list is constant.
    """
    assert len(first) == len(second), "both rewards score the same sequences"
    if len(first) < 2:
        return None
    x, y = _centered(first), _centered(second)
    norm = math.hypot(*x) * math.hypot(*y)
    return sum(a * b for a, b in zip(x, y, strict=True)) / norm if norm else None


def judge(correlation: float | None) -> Verdict:
    """Return what to do about a new reward that correlates so with the old.

    From 0.95 on go on; from 0.8 on call for a person, the new normalisation on ρ having taken up
    the shift; below, or where a reward is constant, stop the line.
    """
    if correlation is None or correlation < ALERT_FROM:
        return "pull"
    return "go_on" if correlation >= GO_ON_FROM else "alert"


def _centered(values: Sequence[float]) -> list[float]:
    mean = math.fsum(values) / len(values)
    return [value - mean for value in values]
