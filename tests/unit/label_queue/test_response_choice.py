from __future__ import annotations

import math
import random
from collections import Counter
from itertools import combinations, permutations

import numpy as np
import pytest

from label_queue.asking.response_choice import (
    RULES,
    double_thompson,
    information_directed,
    preference_variance,
    shares_of_best,
    thompson_variance,
    uniform,
)

HEADS = np.array(
    # Particles 0 … 3 say that the best is response 0, 0, 1 and 2; of 3 they know least.
    [
        [2.0, 2.0, 0.0, 0.0, 0.0],
        [1.0, 1.0, 3.0, 1.0, 3.0],
        [0.0, 0.0, 0.0, 2.0, 0.0],
        [-4.0, 1.5, -4.0, 1.5, -4.0],
    ]
)


def test_shares_of_best_by_hand() -> None:
    assert shares_of_best(HEADS) == pytest.approx([0.4, 0.4, 0.2, 0.0])
    assert shares_of_best(np.zeros((4, 3))) == pytest.approx([0.25] * 4)


def test_preference_variance_by_hand() -> None:
    # σ(1) = 0.7311 and σ(−1) = 0.2689: variance ((0.7311 − 0.2689)/2)².
    disputed = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert preference_variance(disputed) == pytest.approx(0.2311**2, abs=1e-4)
    assert preference_variance(np.array([[1.0, 1.0], [0.0, 0.0]])) == pytest.approx(0.0)
    assert preference_variance(disputed + 1e4) == pytest.approx(0.2311**2, abs=1e-4)


def test_double_thompson_of_a_pair_by_hand() -> None:
    # {0, 1}: 0.4·0.4/0.6 twice; {0, 2}: 0.4·0.2/0.6 + 0.2·0.4/0.8. Nobody's best comes with none.
    found = {}
    for seed in range(200):
        places, probability = double_thompson(HEADS, 2, random.Random(seed))
        found[places] = probability
    assert found == pytest.approx({(0, 1): 2 * 0.4 * 0.4 / 0.6, (0, 2): 7 / 30, (1, 2): 7 / 30})


@pytest.mark.timeout(30)
def test_double_thompson_of_many_by_hand_takes_no_time() -> None:
    """Its probability was summed up order by order: minutes for each query of 20 responses."""
    each_has_a_particle = np.eye(30)
    places, probability = double_thompson(each_has_a_particle, 26, random.Random(0))
    assert len(set(places)) == 26
    assert probability == pytest.approx(1 / math.comb(30, 26), rel=1e-9)
    one_has_most = np.eye(30)[:, [*range(30), *[0] * 2_970]]
    places, probability = double_thompson(one_has_most, 26, random.Random(0))
    assert 0 in places
    # It is missed by 26 draws with (29 − k)/(3000 − k); the 29 others are alike.
    missed = math.prod((29 - k) / (3_000 - k) for k in range(26))
    assert probability == pytest.approx((1 - missed) / math.comb(29, 25), rel=1e-9)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("count", [2, 3, 4])
def test_the_probability_that_is_logged_is_how_often_it_happens(name: str, count: int) -> None:
    rng, draws = random.Random(7), 4_000
    heads = np.random.default_rng(0).normal(size=(6, 5))
    counts: Counter[tuple[int, ...]] = Counter()
    said: dict[tuple[int, ...], float] = {}
    for _ in range(draws):
        places, probability = RULES[name](heads, count, rng)
        assert places == tuple(sorted(set(places)))
        assert len(places) == count
        counts[places] += 1
        assert said.setdefault(places, probability) == pytest.approx(probability)
    for places, probability in said.items():
        error = math.sqrt(probability * (1 - probability) / draws)
        assert abs(counts[places] / draws - probability) < 5 * error + 1e-9, places
    # What was never drawn in so many is rare.
    assert sum(said.values()) == pytest.approx(1.0, abs=0.01)


def in_any_order(weights: list[float], places: tuple[int, ...]) -> float:
    """How likely a set is drawn without replacement, order by order; some weight is left over."""
    total = 0.0
    for order in permutations(places):
        left, chance = sum(weights), 1.0
        for place in order:
            chance *= weights[place] / left
            left -= weights[place]
        total += chance
    return total


@pytest.mark.parametrize("seed", range(12))
def test_a_set_is_as_likely_as_all_its_orders_together(seed: int) -> None:
    heads = np.random.default_rng(seed).integers(0, 4, size=(12, 40)).astype(float)
    weights = [float(each) for each in shares_of_best(heads)]
    assert sum(each > 0 for each in weights) > 5
    places, probability = double_thompson(heads, 5, random.Random(seed))
    assert probability == pytest.approx(in_any_order(weights, places), rel=1e-12)


@pytest.mark.parametrize("name", ["double_thompson", "thompson_variance"])
def test_no_probability_is_above_one_by_rounding(name: str) -> None:
    # What was drawn for certain came to 1.0000000000000002, which no record may say.
    for seed in (1, 1_066):
        rng = np.random.default_rng(seed)
        num_particles, num_responses = int(rng.integers(2, 21)), int(rng.integers(2, 10))
        count = int(rng.integers(2, min(num_responses, 5) + 1))
        heads = rng.normal(size=(num_responses, num_particles))
        _, probability = RULES[name](heads, count, random.Random(seed))
        assert 0 < probability <= 1


def test_as_many_as_a_query_may_have_are_drawn_with_their_probability() -> None:
    places, probability = double_thompson(np.zeros((40, 20)), 26, random.Random(0))
    assert len(places) == 26
    assert probability == pytest.approx(1 / math.comb(40, 26), rel=1e-12)
    heads = np.eye(40)  # as many particles, each with a best of its own
    assert double_thompson(heads, 26, random.Random(0))[1] == pytest.approx(probability, rel=1e-12)


def test_where_all_particles_agree_the_second_of_a_pair_is_any_other() -> None:
    heads = np.array([[3.0, 3.0], [0.0, 1.0], [1.0, 0.0]])
    seen = {double_thompson(heads, 2, random.Random(seed)) for seed in range(50)}
    assert seen == {((0, 1), 0.5), ((0, 2), 0.5)}


def test_the_second_is_the_one_whose_difference_to_the_best_is_known_least() -> None:
    for seed in range(20):
        places, _ = thompson_variance(HEADS, 2, random.Random(seed))
        assert 3 in places


def test_the_pair_asked_has_the_largest_variance_of_all_pairs() -> None:
    heads = np.random.default_rng(1).normal(size=(16, 20))
    (one, other), probability = information_directed(heads, 2, random.Random(0))
    assert probability == 1.0
    spread = {
        pair: float((1 / (1 + np.exp(heads[pair[1]] - heads[pair[0]]))).var())
        for pair in combinations(range(16), 2)
    }
    assert (one, other) == max(spread, key=lambda pair: spread[pair])


def test_every_pair_is_alike_to_uniform() -> None:
    counts: Counter[tuple[int, ...]] = Counter()
    rng = random.Random(0)
    for _ in range(1_500):
        places, probability = uniform(6, 2, rng)
        assert probability == pytest.approx(1 / 15)
        counts[places] += 1
    # Binomial(1500, 1/15): mean 100, standard deviation 9.7.
    assert len(counts) == 15
    assert all(abs(count - 100) < 50 for count in counts.values())
