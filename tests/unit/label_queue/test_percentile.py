from __future__ import annotations

import random

import pytest

from label_queue.percentile import percentile, percentile_of_sorted


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1.0), (0.5, 2.5), (0.95, 3.85), (1.0, 4.0)])
def test_percentile_interpolates(share: float, expected: float) -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], share) == pytest.approx(expected)
    assert percentile_of_sorted([1.0, 2.0, 3.0, 4.0], share) == pytest.approx(expected)


def test_percentile_of_one_value_is_that_value() -> None:
    assert percentile([7.0], 0.95) == percentile_of_sorted([7.0], 0.95) == 7.0


@pytest.mark.parametrize("count", [1, 2, 3, 19, 20, 21, 500])
def test_both_say_the_same(count: int) -> None:
    values = sorted(random.Random(count).expovariate(0.1) for _ in range(count))
    for share in (0.0, 0.05, 0.5, 0.95, 0.999, 1.0):
        assert percentile_of_sorted(values, share) == pytest.approx(percentile(values, share))
