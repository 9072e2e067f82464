"""Whether a reward fitted without labels taken back is one to go on with, by hand."""

from __future__ import annotations

import pytest

from cluster.loops.reward_comparison import judge, pearson_correlation


def test_correlation_by_hand() -> None:
    # Deviations (−1, 0, 1) and (−2, 1, 1): 3 of √2·√6.
    assert pearson_correlation([1, 2, 3], [0, 3, 3]) == pytest.approx(3 / 12**0.5)


@pytest.mark.parametrize(("gain", "sign"), [(2.5, 1.0), (-0.1, -1.0)])
def test_a_shift_and_a_scale_change_nothing_but_the_sign(gain: float, sign: float) -> None:
    first = [0.5, -1.0, 2.0, 0.25]
    second = [gain * x + 7 for x in first]
    assert pearson_correlation(first, second) == pytest.approx(sign)


@pytest.mark.parametrize(("first", "second"), [([], []), ([1.0], [2.0]), ([1, 1, 1], [1, 2, 3])])
def test_of_nothing_or_a_constant_there_is_none(first: list[float], second: list[float]) -> None:
    assert pearson_correlation(first, second) is None


@pytest.mark.parametrize(
    ("correlation", "verdict"),
    [
        (1.0, "go_on"),
        (0.95, "go_on"),
        (0.949, "alert"),
        (0.8, "alert"),
        (0.799, "pull"),
        (-1.0, "pull"),
        (None, "pull"),
    ],
)
def test_verdicts(correlation: float | None, verdict: str) -> None:
    assert judge(correlation) == verdict
