"""Reliabilities of simulated labelers, and the small reward against an oracle."""

from __future__ import annotations

from dataclasses import replace

import choix
import numpy as np
import pytest
from scipy.sparse import csr_array

from label_queue.quality.reliability import PENALTY, posterior_mean, reliabilities
from label_queue.quality.small_reward import NUM_BUCKETS, as_choices, as_texts, fit_reward
from label_queue.quality_config import DEFAULT_QUALITY
from label_queue.simulated.config import LabelerProfile
from protocol.fits import Comparison
from tests.support.simulated_labels import (
    ADVERSARIAL,
    CAREFUL,
    CARELESS,
    FIRST,
    RANDOM,
    simulate_comparisons,
)

NOTHING = np.empty(0)
MIXED = {
    **{f"good-{i}": CAREFUL for i in range(5)},
    "random-1": RANDOM,
    "random-2": RANDOM,
    "adversarial": ADVERSARIAL,
    "first": FIRST,
    "careless": CARELESS,
}


def test_without_labels_it_is_the_prior() -> None:
    # Beta(5.1, 0.9): mean 0.85
    assert posterior_mean(NOTHING, NOTHING, (0, 0)) == pytest.approx(0.85, abs=0.002)


def test_gold_is_truth_that_is_known() -> None:
    # 20 wrong answers of pairs leave Beta(5.1, 20.9), mean 0.196
    assert posterior_mean(NOTHING, NOTHING, (0, 20)) == pytest.approx(0.196, abs=0.002)
    assert posterior_mean(NOTHING, NOTHING, (20, 0)) > 0.9


def test_answers_that_nobody_could_foresee_say_nothing() -> None:
    half = np.full(50, 0.5)
    assert posterior_mean(half, half, (0, 0)) == pytest.approx(0.85, abs=0.002)


@pytest.mark.parametrize("num_candidates", [2, 4])
def test_bad_labelers_weigh_little_and_careful_ones_nearly_all(num_candidates: int) -> None:
    comparisons = simulate_comparisons(MIXED, 1_000, num_candidates=num_candidates, seed=1)
    a = reliabilities(comparisons)
    assert min(a[name] for name in a if name.startswith("good")) > 0.85
    assert max(a["random-1"], a["random-2"], a["first"]) < 0.5
    assert a["adversarial"] < 0.15
    assert 0.25 < a["careless"] < 0.9


def test_four_adversaries_of_ten_do_not_turn_the_truth_round() -> None:
    labelers = dict.fromkeys((f"good-{i}" for i in range(6)), CAREFUL)
    labelers |= dict.fromkeys((f"bad-{i}" for i in range(4)), ADVERSARIAL)
    a = reliabilities(simulate_comparisons(labelers, 1_000, num_candidates=4, seed=2))
    assert min(a[name] for name in a if name.startswith("good")) > 0.85
    assert max(a[name] for name in a if name.startswith("bad")) < 0.15


def test_an_honest_minority_keeps_its_voice() -> None:
    labelers = {f"good-{i}": CAREFUL for i in range(6)} | {
        "minor-1": CAREFUL,
        "minor-2": CAREFUL,
        "random": RANDOM,
        "soft": LabelerProfile(beta=1.5),
    }
    comparisons = simulate_comparisons(
        labelers, 1_500, num_candidates=4, dissenters=("minor-1", "minor-2"), seed=3
    )
    a = reliabilities(comparisons)
    assert min(a["minor-1"], a["minor-2"]) > 0.3 > 2 * a["random"] - 0.1
    assert a["soft"] > 0.5


def test_rankings_say_as_much() -> None:
    comparisons = simulate_comparisons(MIXED, 600, num_candidates=3, kind="ranking", seed=4)
    a = reliabilities(comparisons)
    assert min(a[name] for name in a if name.startswith("good")) > 0.85
    assert max(a["random-1"], a["random-2"], a["adversarial"]) < 0.5


def test_one_labeler_alone_is_given_the_benefit_of_the_doubt() -> None:
    [a] = reliabilities(simulate_comparisons({"ann": CAREFUL}, 50, overlap=0.0)).values()
    assert a == pytest.approx(0.85, abs=0.002)


def test_ties_alone_leave_the_prior_and_gold() -> None:
    [one, *_] = simulate_comparisons({"ann": CAREFUL}, 1, overlap=0.0)
    tie = replace(one, outcome="tie", choice=None)
    assert reliabilities([tie])["ann"] == pytest.approx(0.85, abs=0.002)
    assert reliabilities([tie], {"ann": (0, 20)})["ann"] < 0.25


def test_gold_has_as_many_candidates_as_the_queries_whatever_is_said_of_them() -> None:
    [query, *_] = simulate_comparisons({"ann": CAREFUL}, 1, num_candidates=4, overlap=0.0)
    # Of responses without tokens nothing is known but gold.
    query = replace(query, candidate_token_ids=((),) * 4, outcome="tie", choice=None)
    ranking = replace(query, outcome="ranking", ranking=(2, 0, 3, 1))
    known = posterior_mean(NOTHING, NOTHING, (10, 20), k=4)
    assert abs(known - posterior_mean(NOTHING, NOTHING, (10, 20), k=3)) > 0.02
    for said in (query, ranking):
        found = reliabilities([said], {"ann": (10, 20)})
        assert found["ann"] == pytest.approx(known, abs=1e-6)


def test_responses_without_tokens_leave_the_prior() -> None:
    comparisons = simulate_comparisons({"ann": CAREFUL, "bob": RANDOM}, 30, overlap=0.0)
    empty = [replace(each, candidate_token_ids=((), ())) for each in comparisons]
    assert list(reliabilities(empty).values()) == pytest.approx([0.85, 0.85], abs=0.002)


def one_token_each(winners: list[tuple[int, ...]]) -> list[Comparison]:
    """Choices among items that are one token each: the first named is chosen."""
    return [
        Comparison(
            seq=number,
            query_id=f"q{number}",
            labeler_id="ann",
            purpose="train",
            prompt_token_ids=(),
            candidate_token_ids=tuple((item,) for item in sorted(items)),
            policy_versions=(0,) * len(items),
            outcome="choice",
            choice=sorted(items).index(items[0]),
            ranking=None,
        )
        for number, items in enumerate(winners)
    ]


def fitted_items(winners: list[tuple[int, ...]], num_items: int, penalty: float) -> np.ndarray:
    comparisons = one_token_each(winners)
    choices = as_choices(comparisons)
    assert choices is not None
    ones = np.ones(len(winners))
    features, start = choices.texts.matrix(), np.zeros(NUM_BUCKETS)
    theta = fit_reward(choices, features, ones, ones, penalty=penalty, start=start)
    rewards = choices.texts.rewards(theta)
    found = np.full((num_items, num_items), np.nan)
    for row, items in enumerate(winners):
        ordered = [items[0], *sorted(set(items) - {items[0]})]
        start_row = choices.starts[row]
        for i, item in enumerate(ordered):
            found[items[0], item] = rewards[start_row] - rewards[start_row + i]
    return found


@pytest.mark.parametrize("at_once", [1, 2, 3, 100])
def test_rewards_are_found_a_stretch_of_texts_at_a_time(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """Also where texts are empty, at either end or side by side."""
    monkeypatch.setattr("label_queue.quality.small_reward.TEXTS_AT_ONCE", at_once)
    texts = as_texts([(), (7, 8, 7, 8), (), (), (9,), (7, 2**40), ()])
    theta = np.random.default_rng(1).normal(size=NUM_BUCKETS)
    rewards = texts.rewards(theta)
    assert rewards == pytest.approx(texts.matrix() @ theta, abs=1e-12)
    assert rewards[[0, 2, 3, 6]].tolist() == [0.0] * 4
    assert rewards[4] == theta[texts.buckets[texts.ends[3]]]
    some = np.array([True, True, False, True, False, True, False])
    assert texts.take(some).rewards(theta).tolist() == rewards[some].tolist()


def test_what_all_candidates_share_makes_no_difference() -> None:
    """So features need not be less the mean over a choice's candidates."""
    comparisons = simulate_comparisons({"ann": CAREFUL, "bob": CARELESS}, 12, overlap=0.0)
    choices = as_choices(comparisons)
    assert choices is not None
    ones, start = np.ones(len(choices.sizes)), np.zeros(NUM_BUCKETS)
    dense = choices.texts.matrix().toarray()
    means = np.add.reduceat(dense, choices.starts) / choices.sizes[:, None]
    centred = csr_array(dense - np.repeat(means, choices.sizes, axis=0))
    found = [
        fit_reward(choices, features, ones, 0.9 * ones, penalty=PENALTY, start=start)
        for features in (choices.texts.matrix(), centred)
    ]
    assert found[0] == pytest.approx(found[1], abs=1e-3)
    assert np.abs(found[0]).max() > 0.05


def test_pairs_are_fitted_like_choix() -> None:
    rng = np.random.default_rng(5)
    truth = np.array([0.0, 0.7, -0.5, 1.2])
    pairs: list[tuple[int, ...]] = []
    for _ in range(400):
        i, j = (int(x) for x in rng.choice(4, 2, replace=False))
        i_wins = rng.random() < 1 / (1 + np.exp(truth[j] - truth[i]))
        pairs.append((i, j) if i_wins else (j, i))
    # choix penalises alpha·|θ|², here penalty/2·|θ|².
    expected = choix.opt_pairwise(4, [(a, b) for a, b in pairs], alpha=PENALTY / 2)
    found = fitted_items(pairs, 4, PENALTY)
    for i, j in set(pairs):
        assert found[i, j] == pytest.approx(expected[i] - expected[j], abs=2e-3)


def test_choices_of_three_are_fitted_like_choix() -> None:
    rng = np.random.default_rng(6)
    truth = np.array([0.0, 0.7, -0.5, 1.2])
    chosen: list[tuple[int, ...]] = []
    for _ in range(400):
        items = [int(x) for x in rng.choice(4, 3, replace=False)]
        noisy = truth[items] + rng.gumbel(size=3)
        best = items[int(noisy.argmax())]
        chosen.append((best, *sorted(set(items) - {best})))
    expected = choix.opt_top1(
        4, [(best, tuple(others)) for best, *others in chosen], alpha=PENALTY / 2
    )
    found = fitted_items(chosen, 4, PENALTY)
    for best, *others in set(chosen):
        for other in others:
            gap = expected[best] - expected[other]
            assert found[best, other] == pytest.approx(gap, abs=2e-3)


def test_the_limit_of_doubt_lies_between_good_and_random() -> None:
    a = reliabilities(simulate_comparisons(MIXED, 1_500, num_candidates=4, seed=7))
    assert a["random-1"] < DEFAULT_QUALITY.doubt_below < a["good-1"]


def test_a_group_that_states_only_ties_is_judged_by_the_prior() -> None:
    comparisons = simulate_comparisons({"good": CAREFUL}, 20, seed=1, overlap=0.0)
    tied = [
        replace(each, labeler_id="tied", outcome="tie", choice=None, query_id=f"tie-{number}")
        for number, each in enumerate(comparisons)
    ]
    found = reliabilities([*comparisons, *tied])
    assert found["tied"] == pytest.approx(0.85, abs=0.001)
    assert found["good"] > 0.8
