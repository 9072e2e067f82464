"""The cumulative sum, by hand."""

from __future__ import annotations

import random

import pytest

from label_queue.config import DEFAULT_QUALITY
from label_queue.quality.drift import cusum
from label_queue.quality.gold import evidence

RIGHT = evidence(is_right=True, config=DEFAULT_QUALITY)
WRONG = evidence(is_right=False, config=DEFAULT_QUALITY)


def test_it_never_falls_below_zero_and_adds_up_from_there() -> None:
    assert cusum(0.0, RIGHT) == 0.0
    assert cusum(0.0, WRONG) == pytest.approx(1.386294, abs=1e-6)
    # 1.386294 − 0.405465
    assert cusum(cusum(0.0, WRONG), RIGHT) == pytest.approx(0.980829, abs=1e-6)


def test_three_wrong_in_a_row_raise_the_alarm() -> None:
    two = cusum(cusum(0.0, WRONG), WRONG)
    assert two < DEFAULT_QUALITY.drift_threshold <= cusum(two, WRONG)


def length_of_run(accuracy: float, rng: random.Random) -> int:
    level, count = 0.0, 0
    while level < DEFAULT_QUALITY.drift_threshold:
        level = cusum(level, evidence(is_right=rng.random() < accuracy, config=DEFAULT_QUALITY))
        count += 1
    return count


@pytest.mark.parametrize(("accuracy", "low", "high"), [(0.05, 3, 4), (0.5, 7, 10), (0.9, 380, 520)])
def test_average_run_lengths(accuracy: float, low: float, high: float) -> None:
    rng = random.Random(3)
    runs = [length_of_run(accuracy, rng) for _ in range(1_000)]
    assert low < sum(runs) / len(runs) < high
