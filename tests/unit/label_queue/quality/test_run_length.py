"""How long the gold tests go on: by hand, against the tests themselves, and what is promised."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from pydantic import ValidationError

from label_queue.quality.drift import cusum
from label_queue.quality.gold import evidence, sequential_verdict
from label_queue.quality.run_length import (
    Steps,
    drift_threshold,
    in_labels,
    run_length,
    sequential_test,
    share_stopped,
    share_suspended,
    threshold_for,
    turning_accuracy,
    walk,
)
from label_queue.quality.standings import Standings
from label_queue.quality_config import DEFAULT_QUALITY, QualityConfig
from tests.support.labels import make_event, make_query

EVEN = Steps(down=1.0, up=1.0)
STEPS = Steps.of(DEFAULT_QUALITY, 2)


def test_of_even_steps_two_wrong_answers_in_a_row_are_waited_for() -> None:
    # E₀ = 1 + p·E₀ + q·E₁ and E₁ = 1 + p·E₀: E₀ = (1 + q)/q².
    assert run_length(EVEN, 0.5, 2.0) == pytest.approx(6.0)
    assert run_length(EVEN, 0.9, 2.0) == pytest.approx(110.0)


def test_of_uneven_steps_by_hand() -> None:
    # Up two, down one, h = 3: E₀ = 1 + p·E₀ + q·E₂, E₂ = 1 + p·E₁, E₁ = 1 + p·E₀,
    # so that E₀ = (1 + q·(1 + p))/(1 − p − q·p²) = 1.75/0.375 at p = q = ½.
    assert run_length(Steps(down=1.0, up=2.0), 0.5, 3.0) == pytest.approx(1.75 / 0.375)


def test_the_share_stopped_by_hand() -> None:
    # After three answers: WW., RWW; after four WRWW and RRWW, too.
    found = share_stopped(EVEN, 0.5, 2.0, 4)
    assert found == pytest.approx([0.0, 0.25, 0.375, 0.5])


def test_a_walk_between_bounds_by_hand() -> None:
    # From 0 down at −1, up at 2: R; WRR has left at −1 by the third … the gambler's ruin.
    found = walk(EVEN, 0.5, low=-1.0, high=2.0)
    assert found.ends_high == pytest.approx(1 / 3)
    assert found.mean_length == pytest.approx(2.0)
    assert found.at_low[:3] == pytest.approx([0.5, 0.0, 0.125])
    assert found.at_high[:2] == pytest.approx([0.0, 0.25])


def test_who_never_errs_is_never_stopped_and_who_always_does_at_once() -> None:
    assert run_length(STEPS, 1.0, 4.0) == math.inf
    assert share_stopped(STEPS, 1.0, 4.0, 50)[-1] == 0.0
    # Three steps of 1.386 reach 4.
    assert run_length(STEPS, 0.0, 4.0) == 3.0


def test_what_is_computed_is_what_the_cumulative_sum_does() -> None:
    rng = random.Random(5)
    lengths = []
    for _ in range(2_000):
        level, count = 0.0, 0
        while level < 4.0:
            is_right = rng.random() < 0.85
            level = cusum(level, evidence(is_right=is_right, config=DEFAULT_QUALITY, k=2))
            count += 1
        lengths.append(count)
    error = float(np.std(lengths)) / math.sqrt(len(lengths))
    assert np.mean(lengths) == pytest.approx(run_length(STEPS, 0.85, 4.0), abs=4 * error)
    within = np.mean([length <= 100 for length in lengths])
    assert within == pytest.approx(share_stopped(STEPS, 0.85, 4.0, 100)[-1], abs=0.045)


def test_labels_until_an_alarm_are_those_of_tasks_drawn_at_both_shares_of_gold() -> None:
    rng, counts, golds = random.Random(6), [], 0
    gold, bound = DEFAULT_QUALITY.gold, drift_threshold(DEFAULT_QUALITY, 2)
    for _ in range(600):
        level, count = 0.0, 0
        while level < bound:
            count += 1
            if rng.random() < (gold.share_doubted if level >= STEPS.up else gold.share):
                is_right = rng.random() < 0.6
                level = cusum(level, evidence(is_right=is_right, config=DEFAULT_QUALITY, k=2))
                golds += 1
        counts.append(count)
    labels, share = in_labels(DEFAULT_QUALITY, 2, 0.6, STEPS.up)
    error = float(np.std(counts)) / math.sqrt(len(counts))
    assert np.mean(counts) == pytest.approx(labels, abs=4 * error)
    assert golds / sum(counts) == pytest.approx(share, rel=0.05)
    # Without doubt it is the run length in golds, at the usual share.
    labels, share = in_labels(DEFAULT_QUALITY, 2, 0.6, math.inf)
    assert labels == pytest.approx(run_length(STEPS, 0.6, bound) / gold.share)
    assert share == pytest.approx(gold.share)


def test_an_adversary_is_found_within_sixty_labels_by_gold_alone() -> None:
    """At a run length of 20,000 golds, and for a hundredth more gold of a good labeler."""
    assert in_labels(DEFAULT_QUALITY, 2, 0.1, STEPS.up)[0] < 60
    assert in_labels(DEFAULT_QUALITY, 2, 0.9, STEPS.up)[1] < DEFAULT_QUALITY.gold.share + 0.01
    assert run_length(STEPS, 0.9, drift_threshold(DEFAULT_QUALITY, 2)) > 20_000


def test_what_is_computed_is_what_the_sequential_test_does() -> None:
    rng = random.Random(7)
    lengths, bad = [], 0
    for _ in range(2_000):
        total, count, verdict = 0.0, 0, None
        while verdict is None:
            total += evidence(is_right=rng.random() < 0.75, config=DEFAULT_QUALITY, k=2)
            count += 1
            verdict = sequential_verdict(total, DEFAULT_QUALITY)
        lengths.append(count)
        bad += verdict == "bad"
    found = sequential_test(STEPS, 0.75, DEFAULT_QUALITY)
    assert bad / 2_000 == pytest.approx(found.ends_high, abs=0.045)
    error = float(np.std(lengths)) / math.sqrt(len(lengths))
    assert np.mean(lengths) == pytest.approx(found.mean_length, abs=4 * error)


def test_the_share_suspended_is_that_of_both_tests_in_a_row() -> None:
    num_golds, num_labelers, accuracy = 40, 200, 0.7
    golds = {
        f"q{n}": make_query(n, versions=(1, 1), purpose="gold", gold_answer=f"q{n}-a")
        for n in range(num_golds)
    }
    rng, suspended = random.Random(3), 0
    for _ in range(num_labelers):  # each by themselves, so that nobody says how hard gold is
        standings = Standings(golds, DEFAULT_QUALITY)
        for query in golds.values():
            standings.apply(make_event(query, choice=0 if rng.random() < accuracy else 1))
        suspended += standings["ann"].state in ("questioned", "suspended")
    expected = share_suspended(DEFAULT_QUALITY, 2, accuracy, num_golds)[-1]
    error = math.sqrt(expected * (1 - expected) / num_labelers)
    assert suspended / num_labelers == pytest.approx(expected, abs=4 * error)


def test_a_fixed_threshold_of_four_stopped_far_too_many() -> None:
    fixed = QualityConfig(drift_threshold=4.0)
    assert share_suspended(fixed, 2, 0.90, 500)[[99, 499]] == pytest.approx([0.17, 0.66], abs=0.015)
    assert share_suspended(fixed, 2, 0.85, 500)[[99, 499]] == pytest.approx([0.50, 0.98], abs=0.02)


def test_the_default_threshold_holds_both_run_lengths_and_no_more() -> None:
    threshold = drift_threshold(DEFAULT_QUALITY, 2)
    assert threshold == pytest.approx(8.60)
    assert run_length(STEPS, 0.90, threshold) >= 20_000
    assert run_length(STEPS, 0.85, threshold) >= 2_000
    assert run_length(STEPS, 0.85, threshold - 0.01) < 2_000


def test_a_threshold_that_is_set_wins() -> None:
    assert drift_threshold(QualityConfig(drift_threshold=4.0), 2) == 4.0


def test_a_longer_run_length_is_a_higher_threshold() -> None:
    longer = QualityConfig(good_run_length=200_000)
    assert drift_threshold(longer, 2) == pytest.approx(threshold_for(STEPS, 0.9, 200_000))
    assert drift_threshold(longer, 2) > drift_threshold(DEFAULT_QUALITY, 2)


def test_the_sequential_test_keeps_its_promises() -> None:
    config = DEFAULT_QUALITY
    assert sequential_test(STEPS, config.good_accuracy, config).ends_high <= config.false_alarm
    assert (
        1 - sequential_test(STEPS, config.bad_accuracy_of(2), config).ends_high
        <= config.missed_alarm
    )
    # Somebody who clicks at random on pairs is found within ten answers or so.
    assert sequential_test(STEPS, 0.5, config).mean_length == pytest.approx(10.4, abs=0.1)


def test_no_threshold_is_sought_for_who_looks_bad() -> None:
    turning = turning_accuracy(STEPS)
    assert turning == pytest.approx(math.log(4) / (math.log(4) + math.log(1.5)))
    with pytest.raises(ValueError, match="the sum rises"):
        threshold_for(STEPS, turning, 100)
    with pytest.raises(ValidationError, match=r"fair_accuracy \(0.8\) must be at least 0.837"):
        QualityConfig(fair_accuracy=0.8)
    with pytest.raises(ValidationError, match=r"bad_accuracy \(0.87\) must be at least 0.05 below"):
        QualityConfig(bad_accuracy=0.87)
    QualityConfig(fair_accuracy=0.8, bad_accuracy=0.87, drift_threshold=4.0)
