"""Old and new rewards on the same sequences: is the difference one to go on with?

After an exclusion the reward is fitted again without the labels taken back. Where the two rank
recent rollouts alike, little harm was done; where they do not, the policy was trained towards
something that nobody meant.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import StatisticsError, correlation
from typing import Literal

Verdict = Literal["go_on", "alert", "pull"]

GO_ON_FROM = 0.95
ALERT_FROM = 0.8


def pearson_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Return Pearson's r of two lists of [N] scores; None where it is not defined.

    It is not for fewer than two scores, or where one list is constant.
    """
    assert len(first) == len(second), "both rewards score the same sequences"
    try:
        return correlation(first, second)
    except StatisticsError:
        return None


def judge(pearson: float | None) -> Verdict:
    """Return what to do about a new reward that correlates so with the old.

    From 0.95 on go on; from 0.8 on call for a person, the new normalisation on ρ having taken up
    the shift; below, or where a reward is constant, stop the line.
    """
    if pearson is None or pearson < ALERT_FROM:
        return "pull"
    return "go_on" if pearson >= GO_ON_FROM else "alert"
