"""How a run's gold went, from its steps."""

from __future__ import annotations

import pytest

from benchmarks.demo_runs import after_refits, last_of_best_tenth
from cluster.report.records import RewardStart

EPISODES = [500.0 * step for step in range(1, 21)]


def test_the_last_tenth_is_held_against_the_best() -> None:
    golds = [0.0] * 10 + [4.0, 4.0] + [1.0] * 6 + [2.0, 4.0]
    assert last_of_best_tenth(golds) == pytest.approx(0.75)
    assert last_of_best_tenth(golds[:9]) is None


def test_of_two_refits_the_worse_counts_in_deviations_of_the_base_model() -> None:
    golds = [0.0] * 4 + [1.0] * 6 + [0.5, 0.5, 1.0] + [2.0] * 7
    starts = [
        RewardStart(episodes=500, is_refit=True),  # before it nothing was trained
        RewardStart(episodes=2_500, is_refit=True),
        RewardStart(episodes=5_500, is_refit=True),
        RewardStart(episodes=6_500, is_refit=False),
    ]
    assert after_refits(EPISODES, golds, starts, 2.0) == pytest.approx(-0.25)
    assert after_refits(EPISODES, golds, starts[:2], 2.0) == pytest.approx(0.5)
    assert after_refits(EPISODES, golds, starts[:1], 2.0) is None
