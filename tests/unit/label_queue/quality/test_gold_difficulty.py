"""How hard gold is beside other gold, by hand."""

from __future__ import annotations

import pytest

from label_queue.quality.gold_difficulty import GoldDifficulty
from label_queue.quality_config import DEFAULT_QUALITY


def answered(**answers: tuple[int, int]) -> GoldDifficulty:
    """Gold by name, with so many right and wrong answers."""
    found = GoldDifficulty()
    for name, (right, wrong) in answers.items():
        for number in range(right + wrong):
            found.take(name, is_right=number < right)
    return found


def usual(difficulty: GoldDifficulty, name: str, k: int = 2) -> float:
    return difficulty.usual(name, k, DEFAULT_QUALITY)


def test_gold_nobody_answered_is_as_hard_as_a_good_labeler_finds_it() -> None:
    assert usual(GoldDifficulty(), "g0") == 0.9


def test_harder_gold_is_answered_less() -> None:
    # R = (9 + 90 + 6)/(10 + 110) = 0.875; of g1 (8.75 + 6)/20 = 0.7375
    found = answered(g0=(90, 10), g1=(6, 4))
    assert usual(found, "g1") == pytest.approx(0.5 + 0.4 * 0.2375 / 0.375)
    # Of four chance is 0.25.
    assert usual(found, "g1", k=4) == pytest.approx(0.25 + 0.65 * 0.4875 / 0.625)


def test_gold_as_hard_as_others_is_as_telling_as_ever_however_bad_people_are() -> None:
    found = answered(g0=(70, 30), g1=(70, 30), g2=(70, 30), g3=(70, 30))
    assert usual(found, "g0") == pytest.approx(0.9, abs=0.01)
    assert usual(answered(g0=(1, 99)), "g0") == 0.9  # nobody knows better than by chance


def test_easier_gold_says_no_more_than_a_good_labeler_would() -> None:
    assert usual(answered(g0=(50, 50), g1=(100, 0)), "g1") == 0.9


def test_gold_that_all_miss_goes_on_saying_something() -> None:
    found = answered(g0=(300, 10), g1=(0, 100))
    assert usual(found, "g1") == pytest.approx(0.7)
