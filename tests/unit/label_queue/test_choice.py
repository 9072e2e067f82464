"""The model of human choice, by numbers worked out by hand."""

from __future__ import annotations

import math
import random
from collections import Counter
from typing import Any

import pytest
from pydantic import ValidationError

from label_queue.simulated.choice import choice_probabilities, decide, logits, seconds_spent
from label_queue.simulated.config import LabelerProfile


def profile(**changes: Any) -> LabelerProfile:
    return LabelerProfile(**changes)


def test_a_pair_is_bradley_terry() -> None:
    # σ(2 · (1.5 − 1.0)) = 0.731059
    expected = pytest.approx([0.731059, 0.268941], abs=1e-6)
    assert choice_probabilities([1.5, 1.0], profile(beta=2)) == expected


def test_best_of_four_is_softmax() -> None:
    # 1, 2, 4, 8 of 15
    utilities = [math.log(x) for x in (1, 2, 4, 8)]
    expected = [1 / 15, 2 / 15, 4 / 15, 8 / 15]
    assert choice_probabilities(utilities, profile()) == pytest.approx(expected)


def test_a_slip_moves_weight_evenly_to_the_others() -> None:
    # 0.9 of a third and 0.1 · (2/3)/2 of a third
    assert choice_probabilities([0, 0, 0], profile(eps_mistake=0.1)) == pytest.approx([1 / 3] * 3)
    sure = choice_probabilities([100.0, 0.0, 0.0], profile(eps_mistake=0.1))
    assert sure == pytest.approx([0.9, 0.05, 0.05])


def test_position_bias_drift_and_malice_act_on_the_logits() -> None:
    assert logits([1.0, 2.0], profile(beta=3), 5) == [3.0, 6.0]
    assert logits([1.0, 2.0], profile(position_bias=0.5), 0) == [1.5, 2.0]
    # beta · exp(−0.01 · 100) = 0.367879
    tired = pytest.approx([0.367879, 0.735759], abs=1e-6)
    assert logits([1.0, 2.0], profile(drift=0.01), 100) == tired
    adversarial = profile(is_adversarial=True, position_bias=0.5)
    assert logits([1.0, 2.0], adversarial, 0) == [-0.5, -2.0]


def test_a_labeler_may_turn_adversarial_at_a_given_label() -> None:
    turns = profile(adversarial_after=150)
    assert logits([1.0, 2.0], turns, 149) == [1.0, 2.0]
    assert logits([1.0, 2.0], turns, 150) == [-1.0, -2.0]


def test_an_adversary_on_guard_is_honest_where_a_task_is_as_clear_as_gold() -> None:
    wary = profile(is_adversarial=True, honest_from=1.5)
    assert logits([1.0, 2.0], wary, 0) == [-1.0, -2.0]
    assert logits([1.0, 2.0, 3.5], wary, 0) == [1.0, 2.0, 3.5]
    assert logits([1.0, 3.5, 3.0], wary, 0) == [-1.0, -3.5, -3.0]


def test_large_utilities_do_not_overflow() -> None:
    assert choice_probabilities([1e4, 0.0], profile(beta=10)) == [1.0, 0.0]


def decisions(count: int, utilities: list[float], kind: Any, **changes: Any) -> Counter[Any]:
    rng = random.Random(7)
    made = (decide(utilities, kind, profile(**changes), 0, rng) for _ in range(count))
    return Counter((verdict.outcome, verdict.order) for verdict in made)


def test_drawn_choices_follow_the_probabilities() -> None:
    utilities = [math.log(x) for x in (1, 2, 4, 8)]
    drawn = decisions(4000, utilities, "best_of_k", eps_mistake=0.2)
    expected = choice_probabilities(utilities, profile(eps_mistake=0.2))
    for index, probability in enumerate(expected):
        assert drawn["choice", (index,)] / 4000 == pytest.approx(probability, abs=0.03)


def test_drawn_rankings_are_plackett_luce() -> None:
    # P(2, 1, 0) with weights 1, 2, 4: 4/7 · 2/3 = 0.381
    drawn = decisions(4000, [0.0, math.log(2), math.log(4)], "ranking")
    assert drawn["ranking", (2, 1, 0)] / 4000 == pytest.approx(8 / 21, abs=0.03)
    assert all(sorted(order) == [0, 1, 2] for _, order in drawn)


def test_a_slip_takes_another_candidate_or_turns_the_ranking_round() -> None:
    assert decisions(50, [9e9, 0.0], "pair", eps_mistake=1) == {("choice", (1,)): 50}
    ranked = decisions(50, [9e9, 0.0, -9e9], "ranking", eps_mistake=1)
    assert ranked == {("ranking", (2, 1, 0)): 50}


def test_skips_and_ties_name_nobody() -> None:
    assert decisions(20, [1.0, 2.0], "pair", eps_skip=1) == {("skip", ()): 20}
    assert decisions(20, [1.0, 1.2, 1.4], "best_of_k", eps_equal=0.5) == {("tie", ()): 20}
    assert ("tie", ()) not in decisions(20, [1.0, 1.2, 1.5], "best_of_k", eps_equal=0.5)


def test_the_seed_decides_the_answers() -> None:
    assert decisions(9, [1.0, 2.0], "pair") == decisions(9, [1.0, 2.0], "pair")


def test_time_spent_lies_around_its_mean() -> None:
    rng = random.Random(0)
    times = [seconds_spent(profile(seconds_per_label=2), rng) for _ in range(500)]
    assert 1.0 <= min(times) <= max(times) <= 3.0
    assert sum(times) / 500 == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize(
    "wrong", [{"beta": -1}, {"gamma": 0}, {"eps_mistake": 1.5}, {"eps_skip": -0.1}, {"speed": 3}]
)
def test_profiles_refuse_what_makes_no_sense(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        LabelerProfile(**wrong)
