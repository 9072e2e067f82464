from __future__ import annotations

import math
from statistics import NormalDist

import pytest
from scipy.stats import binomtest

from label_queue.figures.agreement import nominal_alpha, wilson_bounds


def test_wilson_bounds_by_hand() -> None:
    # p = 0.7, n = 10, z² = 3.841459: (0.7 + 0.192073 ∓ 1.959964·√(0.021 + 0.009604)) / 1.384146
    low, high = wilson_bounds(7, 10)
    assert low == pytest.approx(0.39678, abs=1e-5)
    assert high == pytest.approx(0.89221, abs=1e-5)


@pytest.mark.parametrize(("successes", "trials"), [(0, 1), (1, 3), (7, 10), (250, 1000), (9, 9)])
@pytest.mark.parametrize("confidence", [0.95, 0.9973])
def test_wilson_bounds_of_whole_numbers_are_scipys(
    successes: int, trials: int, confidence: float
) -> None:
    interval = binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    bounds = wilson_bounds(successes, trials, NormalDist().inv_cdf((1 + confidence) / 2))
    assert bounds == pytest.approx((interval.low, interval.high), abs=1e-12)


def test_wilson_bounds_stay_in_the_unit_interval() -> None:
    assert wilson_bounds(0, 5)[0] == pytest.approx(0.0)
    assert wilson_bounds(5, 5)[1] == pytest.approx(1.0)
    assert wilson_bounds(0, 0) == (0.0, 1.0)


def test_alpha_of_krippendorffs_published_example() -> None:
    # Krippendorff 2011, example C (nominal, four observers, missing answers): α = 0.743.
    # Observers' answers by unit; the unit answered once counts for nothing.
    table = [
        "111",
        "2232",
        "3333",
        "3333",
        "2222",
        "1234",
        "4444",
        "1121",
        "2222",
        "555",
        "11",
        "3",
    ]
    assert nominal_alpha([list(unit) for unit in table]) == pytest.approx(0.743, abs=5e-4)


def test_alpha_is_one_for_agreement_and_undefined_without_disagreement_to_expect() -> None:
    assert nominal_alpha([["0", "0"], ["1", "1"]]) == 1.0
    assert math.isnan(nominal_alpha([["0", "0"], ["0", "0"]]))
    assert math.isnan(nominal_alpha([["0"], ["1"]]))


def test_alpha_is_below_zero_when_people_always_differ() -> None:
    # n = 4, disagreeing pairs 2·2/(2−1), expected 16 − 8: 1 − 3·4/8.
    assert nominal_alpha([["0", "1"], ["0", "1"]]) == pytest.approx(-0.5)
