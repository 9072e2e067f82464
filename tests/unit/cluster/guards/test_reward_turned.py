"""The guard on a reward version against the one before it."""

from __future__ import annotations

import random

import pytest

from cluster.guards import reward_turned
from cluster.guards.confidence import correlation_above
from cluster.guards.reward_turned import RewardTurnedConfig, TwiceScored


def responses(correlation: float, count: int = 256, seed: int = 0) -> list[TwiceScored]:
    """Draws of two normal scores that correlate so in expectation."""
    rng = random.Random(seed)
    made = []
    for number in range(count):
        before = rng.gauss(0, 1)
        after = correlation * before + (1 - correlation**2) ** 0.5 * rng.gauss(0, 1)
        made.append(TwiceScored(prompt="p", response=str(number), before=before, after=after))
    return made


def judged(given: list[TwiceScored]) -> bool:
    return reward_turned.judge(RewardTurnedConfig(), 7, given)[1] is not None


def test_versions_as_a_clean_run_has_them_pass() -> None:
    assert not any(judged(responses(r, seed=n)) for n, r in enumerate([0.43, 0.61, 0.75, 0.99] * 5))


def test_two_rewards_that_know_nothing_pass() -> None:
    assert not any(judged(responses(0.0, seed=seed)) for seed in range(300))


def test_a_version_upside_down_is_found_with_what_moved_most() -> None:
    pearson, verdict = reward_turned.judge(RewardTurnedConfig(), 7, responses(-0.5))
    assert verdict is not None
    assert pearson == pytest.approx(-0.5, abs=0.1)
    assert "reward version 7 goes against the one before it" in verdict.reason
    moves = [abs(s.figures["score_after"] - s.figures["score_before"]) for s in verdict.samples]
    assert moves == sorted(moves, reverse=True)


def test_too_few_responses_and_constant_scores_have_no_correlation() -> None:
    few = responses(-1.0, count=63)
    assert reward_turned.judge(RewardTurnedConfig(), 7, few) == (None, None)
    alike = [TwiceScored(prompt="", response="", before=0.1, after=float(n)) for n in range(99)]
    assert reward_turned.judge(RewardTurnedConfig(), 7, alike) == (None, None)


def test_the_bound_is_that_of_the_books() -> None:
    # artanh 0.5 = 0.5493; + 1.96/√25 = 0.9413, whose tanh is 0.7358.
    assert correlation_above(0.5, 28, 1.96) == pytest.approx(0.7358, abs=1e-4)
    assert correlation_above(-1.0, 3, 1.0) == 1.0
