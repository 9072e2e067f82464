"""Shares of weight, and the cap on them."""

from __future__ import annotations

from collections import Counter

import pytest

from label_queue.config import DEFAULT_QUALITY
from label_queue.folds.dataset import as_comparison
from label_queue.quality.weights import capped, weight_shares
from protocol.fits import Comparison
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


def test_a_flood_is_cut_to_a_fifth() -> None:
    # x = 0.2·(x + 160): 40 of 200
    found = kept(labels_of(ann=400, bob=40, cid=40, dan=40, eve=40), {})
    assert found == {"ann": 40, "bob": 40, "cid": 40, "dan": 40, "eve": 40}


def test_two_floods_share_what_the_cap_leaves() -> None:
    # x = 0.2·(2x + 150): 50 each of 250
    others = {"cid": 50, "dan": 50, "eve": 50}
    assert kept(labels_of(ann=300, bob=200, **others), {}) == {"ann": 50, "bob": 50, **others}


def test_who_is_doubted_keeps_more_labels_for_the_same_weight() -> None:
    # ann at a = 0.5 may keep 80 labels for the weight of 40
    counts = {"ann": 400, "bob": 40, "cid": 40, "dan": 40, "eve": 40}
    assert kept(labels_of(**counts), {"ann": 0.5})["ann"] == 80


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
