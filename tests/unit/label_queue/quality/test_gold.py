"""Gold: posterior and sequential test, by hand and by simulation."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from scipy.stats import beta

from label_queue.quality.gold import evidence, gold_accuracy, is_right, sequential_verdict
from label_queue.quality_config import DEFAULT_QUALITY
from tests.support.labels import make_event, make_query


def test_the_posterior_starts_at_eight_of_ten() -> None:
    # Beta(8, 2): mean 8/10; after 3 right and 1 wrong Beta(11, 3): 11/14.
    assert gold_accuracy(0, 0).mean == pytest.approx(0.8)
    assert gold_accuracy(3, 1).mean == pytest.approx(11 / 14)


@pytest.mark.parametrize(("right", "wrong"), [(0, 0), (3, 1), (0, 12), (200, 3)])
def test_the_interval_is_the_central_95_percent(right: int, wrong: int) -> None:
    known = gold_accuracy(right, wrong)
    expected = beta.interval(0.95, 8 + right, 2 + wrong)
    assert (known.low, known.high) == pytest.approx(expected, abs=1e-9)


def test_evidence_is_the_log_likelihood_ratio() -> None:
    # ln(0.6/0.9) = −0.405465, ln(0.4/0.1) = 1.386294
    assert evidence(is_right=True, config=DEFAULT_QUALITY, k=2) == pytest.approx(
        -0.405465, abs=1e-6
    )
    assert evidence(is_right=False, config=DEFAULT_QUALITY, k=2) == pytest.approx(
        1.386294, abs=1e-6
    )


def test_the_bounds_are_walds() -> None:
    # bad from ln(0.95/0.01) = 4.553877 on, good from ln(0.05/0.99) = −2.985682 down
    assert sequential_verdict(4.5539, DEFAULT_QUALITY) == "bad"
    assert sequential_verdict(4.5538, DEFAULT_QUALITY) is None
    assert sequential_verdict(-2.9856, DEFAULT_QUALITY) is None
    assert sequential_verdict(-2.9857, DEFAULT_QUALITY) == "good"


def judge(accuracy: float, rng: random.Random) -> tuple[str, int]:
    """Answer gold until the test decides."""
    log_ratio, count = 0.0, 0
    while (verdict := sequential_verdict(log_ratio, DEFAULT_QUALITY)) is None:
        log_ratio += evidence(is_right=rng.random() < accuracy, config=DEFAULT_QUALITY, k=2)
        count += 1
    return verdict, count


def test_a_random_clicker_on_pairs_is_caught_in_about_ten() -> None:
    rng = random.Random(1)
    judged = [judge(0.5, rng) for _ in range(4_000)]
    counts = [count for verdict, count in judged if verdict == "bad"]
    assert len(counts) / len(judged) > 0.98
    assert sum(counts) / len(counts) == pytest.approx(10.4, abs=0.5)


def test_a_good_labeler_is_flagged_in_less_than_one_of_a_hundred() -> None:
    rng = random.Random(2)
    judged = [judge(0.9, rng) for _ in range(10_000)]
    assert sum(verdict == "bad" for verdict, _ in judged) / len(judged) < 0.01
    assert math.fsum(count for _, count in judged) / len(judged) == pytest.approx(13.9, abs=0.5)


def test_what_answers_gold_rightly() -> None:
    gold = make_query(purpose="gold", gold_answer="q0-b")
    assert is_right(gold, make_event(gold, choice=1)) is True
    assert is_right(gold, make_event(gold, choice=0)) is False
    assert is_right(gold, make_event(gold, outcome="tie")) is False
    assert is_right(gold, make_event(gold, outcome="skip")) is None
    assert is_right(gold, make_event(gold, outcome="both_bad")) is None
    ranking = replace(make_event(gold, outcome="ranking"), ranking=("q0-b", "q0-a"))
    assert is_right(gold, ranking) is True
