"""Shares of weight, and the cap on them."""

from __future__ import annotations

from collections import Counter

import pytest

from label_queue.folds.dataset import as_comparison
from label_queue.quality.weights import capped
from label_queue.quality_config import DEFAULT_QUALITY
from protocol.fits import Comparison
from tests.support.estimators import weight_shares
from tests.support.labels import make_event, make_query


def labels_of(**counts: int) -> list[Comparison]:
    made: list[Comparison] = []
    for labeler, count in counts.items():
        for _ in range(count):
            query = make_query(len(made))
            comparison = as_comparison(query, make_event(query, labeler, seq=len(made) + 1))
            assert comparison is not None
            made.append(comparison)
    return made


def kept(comparisons: list[Comparison], reliability: dict[str, float]) -> dict[str, int]:
    return dict(Counter(c.labeler_id for c in capped(comparisons, reliability, DEFAULT_QUALITY)))


def test_shares_are_labels_times_reliability() -> None:
    # 30·1, 20·0.5, 10·1 of 50
    shares = weight_shares(labels_of(ann=30, bob=20, cid=10), {"bob": 0.5})
    assert shares == pytest.approx({"ann": 0.6, "bob": 0.2, "cid": 0.2})


def test_of_four_labelers_nobody_is_capped() -> None:
    assert kept(labels_of(ann=200, bob=20, cid=20, dan=20), {})["ann"] == 200


def test_a_flood_is_cut_to_half_more_than_an_equal_part() -> None:
    # of five x = 0.3·(x + 160): 68 of 228
    found = kept(labels_of(ann=400, bob=40, cid=40, dan=40, eve=40), {})
    assert found == {"ann": 68, "bob": 40, "cid": 40, "dan": 40, "eve": 40}


def test_of_many_a_flood_is_cut_to_a_fifth() -> None:
    # of ten x = 0.2·(x + 360): 90 of 450
    others = {f"l{number}": 40 for number in range(9)}
    assert kept(labels_of(ann=400, **others), {}) == {"ann": 90, **others}


def test_two_floods_share_what_the_cap_leaves() -> None:
    # x = 0.3·(2x + 150): 112 each of 374
    others = {"cid": 50, "dan": 50, "eve": 50}
    assert kept(labels_of(ann=300, bob=200, **others), {}) == {"ann": 112, "bob": 112, **others}


def test_who_is_trusted_less_keeps_more_labels_for_the_same_weight() -> None:
    # ann at a = 0.5 may keep 137 labels for the weight of 68
    counts = {"ann": 400, "bob": 40, "cid": 40, "dan": 40, "eve": 40}
    assert kept(labels_of(**counts), {"ann": 0.5})["ann"] == 137


@pytest.mark.parametrize("number", [4, 5, 6, 12])
@pytest.mark.parametrize("doubted", [0.03, 0.13, 0.45])
def test_whoever_is_doubted_cuts_nobody_down(number: int, doubted: float) -> None:
    good = {f"good{i}": 60 for i in range(number)}
    counts = {**good, "clicker": 60, "adversary": 60}
    reliability = {**dict.fromkeys(good, 0.97), "clicker": doubted, "adversary": 0.03}
    assert kept(labels_of(**counts), reliability) == counts


def test_those_who_differ_within_half_lose_nothing() -> None:
    counts = {"ann": 300, "bob": 250, "cid": 200, "dan": 150, "eve": 120}
    assert kept(labels_of(**counts), {}) == counts


def test_a_newcomer_does_not_cut_the_others_down() -> None:
    counts = {"ann": 100, "bob": 100, "cid": 100, "dan": 100, "eve": 3}
    assert kept(labels_of(**counts), {}) == counts


def test_the_same_labels_stay_whatever_their_sequence_numbers() -> None:
    labels = labels_of(ann=100, bob=20, cid=20, dan=20, eve=20)
    before = {c.query_id for c in capped(labels, {}, DEFAULT_QUALITY)}
    assert before == {c.query_id for c in capped(labels[::-1], {}, DEFAULT_QUALITY)}


def test_a_higher_cap_keeps_what_a_lower_one_kept() -> None:
    low = capped(labels_of(ann=100, bob=20, cid=20, dan=20, eve=20), {}, DEFAULT_QUALITY)
    assert {c.labeler_id for c in low} == {"ann", "bob", "cid", "dan", "eve"}
    loose = DEFAULT_QUALITY.model_copy(update={"max_weight_share": 0.5})
    high = capped(labels_of(ann=100, bob=20, cid=20, dan=20, eve=20), {}, loose)
    assert {c.query_id for c in low} < {c.query_id for c in high}
