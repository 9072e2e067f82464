from __future__ import annotations

import random

import pytest

from label_queue.config import LeaseConfig
from label_queue.folds.leases import MOST_TIMES, LeaseTerms
from label_queue.percentile import percentile


@pytest.mark.parametrize(
    ("active_s", "lease_s"),
    [(10.0, 120.0), (100.0, 300.0), (2_000.0, 1_800.0)],
)
def test_lease_is_three_times_the_95th_percentile_within_bounds(
    active_s: float, lease_s: float
) -> None:
    terms = LeaseTerms(LeaseConfig())
    for _ in range(20):
        terms.observe(active_s)
    assert terms.duration_s == lease_s


def test_lease_is_fixed_until_enough_times_were_seen() -> None:
    terms = LeaseTerms(LeaseConfig(first_s=500.0))
    for _ in range(19):
        terms.observe(10.0)
    assert terms.duration_s == 500.0


def test_the_newest_times_count_and_older_ones_are_forgotten() -> None:
    terms = LeaseTerms(LeaseConfig(min_s=1.0))
    rng = random.Random(1)
    times = [rng.uniform(1.0, 500.0) for _ in range(2 * MOST_TIMES)]
    for seen, time in enumerate(times, start=1):
        terms.observe(time)
        if seen % 100 == 0:
            wanted = 3.0 * percentile(times[max(0, seen - MOST_TIMES) : seen], 0.95)
            assert terms.duration_s == pytest.approx(wanted)
    for _ in range(MOST_TIMES):
        terms.observe(10.0)
    assert terms.duration_s == 30.0
