"""The cumulative sum, by hand."""

from __future__ import annotations

import pytest

from label_queue.quality.drift import cusum
from label_queue.quality.gold import evidence
from label_queue.quality.run_length import drift_threshold
from label_queue.quality_config import DEFAULT_QUALITY

RIGHT = evidence(is_right=True, config=DEFAULT_QUALITY, k=2)
WRONG = evidence(is_right=False, config=DEFAULT_QUALITY, k=2)


def test_it_never_falls_below_zero_and_adds_up_from_there() -> None:
    assert cusum(0.0, RIGHT) == 0.0
    assert cusum(0.0, WRONG) == pytest.approx(1.386294, abs=1e-6)
    # 1.386294 − 0.405465
    assert cusum(cusum(0.0, WRONG), RIGHT) == pytest.approx(0.980829, abs=1e-6)


def test_seven_wrong_in_a_row_raise_the_alarm() -> None:
    six = 0.0
    for _ in range(6):
        six = cusum(six, WRONG)
    # 6 · 1.386 = 8.32, 7 · 1.386 = 9.70
    assert six < drift_threshold(DEFAULT_QUALITY, 2) <= cusum(six, WRONG)
