"""Doubt: what speaks for chance in the newest answers, by hand and of simulated labelers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from label_queue.quality import reliability
from label_queue.quality.doubt import (
    NUM_NEWEST,
    doubt,
    newest,
    of_answers,
    of_gold,
    of_repeat,
    on_newest_queries,
)
from label_queue.quality.given import GivenLabels
from label_queue.quality.reliability import judgement
from label_queue.quality_config import DEFAULT_QUALITY
from label_queue.simulated.config import LabelerProfile
from protocol.fits import Comparison
from tests.support.estimators import judged_by
from tests.support.simulated_labels import CAREFUL, RANDOM, simulate_comparisons

TURNS_AFTER = 60
TURNER = LabelerProfile(beta=7.5, adversarial_after=TURNS_AFTER)
PEOPLE = {**{f"good-{i}": CAREFUL for i in range(9)}, "turner": TURNER}


def test_answers_are_worth_what_the_others_prefer() -> None:
    # −log(0.85·0.1/0.5 + 0.15), and so on: the last is the most that any says.
    pairs = of_answers(np.array([0.5, 0.1, 0.9, 0.0]), np.full(4, 0.5))
    assert pairs == pytest.approx([0.0, 1.1394, -0.5188, 1.8971], abs=1e-4)
    four = of_answers(np.array([0.1]), np.array([0.25]))
    assert four == pytest.approx([0.7133], abs=1e-4)  # −log(0.85·0.4 + 0.15)


def test_repeats_answered_otherwise_speak_for_chance() -> None:
    # Of pairs 0.9² + 0.1² = 0.82: log(0.5/0.18) and log(0.5/0.82)
    assert of_repeat(2, is_alike=False) == pytest.approx(1.0217, abs=1e-4)
    assert of_repeat(2, is_alike=True) == pytest.approx(-0.4947, abs=1e-4)
    # Of four 0.9² + 0.1²/3 = 0.8133: log(0.75/0.1867)
    assert of_repeat(4, is_alike=False) == pytest.approx(1.3907, abs=1e-4)


def test_gold_speaks_for_chance_or_against_it() -> None:
    # log(0.5/0.1), log(0.5/0.9); of four log(0.75/0.1), log(0.25/0.9)
    assert of_gold(2, 0.9, is_right=False) == pytest.approx(1.6094, abs=1e-4)
    assert of_gold(2, 0.9, is_right=True) == pytest.approx(-0.5878, abs=1e-4)
    assert of_gold(4, 0.9, is_right=False) == pytest.approx(2.0149, abs=1e-4)
    assert of_gold(4, 0.9, is_right=True) == pytest.approx(-1.2809, abs=1e-4)


def test_it_adds_up_from_zero_in_the_order_in_which_answers_came() -> None:
    assert doubt([]) == 0.0
    assert doubt([(1, -2.0), (2, 1.5), (3, -0.5)]) == pytest.approx(1.0)
    assert doubt([(3, -0.5), (1, -2.0), (2, 1.5)]) == pytest.approx(1.0)
    # What is expected pays off what came before it, and nothing of what comes after it.
    assert doubt([(1, 1.5), (2, -2.0), (3, 1.5)]) == pytest.approx(1.5)


def test_the_newest_are_those_that_came_last() -> None:
    both = {"ann": CAREFUL, "bob": CAREFUL}
    labels = simulate_comparisons(both, 2 * NUM_NEWEST + 30, overlap=0.0, seed=1)
    marks = newest(GivenLabels.of(labels))
    for name in ("ann", "bob"):
        own = [mark for label, mark in zip(labels, marks, strict=True) if label.labeler_id == name]
        assert sum(own) == min(NUM_NEWEST, len(own))
        assert all(own[-NUM_NEWEST:])


def given_by(name: str, comparisons: list[Comparison]) -> int:
    return sum(each.labeler_id == name for each in comparisons)


def test_who_turns_is_in_doubt_before_gold_could_tell_and_the_others_hardly_ever() -> None:
    comparisons = simulate_comparisons(PEOPLE, 1_400, seed=3)
    doubted_at: dict[str, list[int]] = {}
    for end in range(400, 1_400, 20):
        so_far = comparisons[:end]
        for name, evidence in judgement(so_far).newest.items():
            if doubt(evidence) >= DEFAULT_QUALITY.doubt_from:
                doubted_at.setdefault(name, []).append(given_by(name, so_far))
    since_turn = doubted_at.pop("turner")[0] - TURNS_AFTER
    assert 0 < since_turn <= 20  # of which one is gold
    good_looks = 9 * len(range(400, 1_400, 20))
    assert sum(map(len, doubted_at.values())) < 0.05 * good_looks


def test_who_came_to_their_senses_is_doubted_no_more() -> None:
    comparisons = simulate_comparisons({**PEOPLE, "turner": RANDOM}, 1_000, seed=4)
    own = [each for each in comparisons if each.labeler_id == "turner"]
    rest = [each for each in comparisons if each.labeler_id != "turner"]
    good = simulate_comparisons({**PEOPLE, "turner": CAREFUL}, 1_000, seed=4)
    since = [
        replace(each, seq=each.seq + 10_000, query_id=f"later-{each.query_id}")
        for each in good
        if each.labeler_id == "turner"
    ]
    least = DEFAULT_QUALITY.doubt_from
    assert doubt(judgement([*rest, *own]).newest["turner"]) > least
    assert doubt(judgement([*rest, *own, *since]).newest["turner"]) < least


def test_right_gold_pays_off_what_the_others_taste_has_to_say() -> None:
    """Two of ten see a third of the words the other way round, and know what is plain."""
    people = {**{f"good-{i}": CAREFUL for i in range(8)}, "minor-1": CAREFUL, "minor-2": CAREFUL}
    dissenters = ("minor-1", "minor-2")
    comparisons = simulate_comparisons(people, 2_000, dissenters=dissenters, seed=6)
    newest_of = judgement(comparisons).newest
    alone = max(doubt(newest_of[name]) for name in dissenters)
    assert alone > DEFAULT_QUALITY.doubt_from
    gold = of_gold(2, 0.9, is_right=True)
    for name in dissenters:  # every fourth of their tasks
        evidence = [*newest_of[name], *((seq, gold) for seq, _ in newest_of[name][::3])]
        assert doubt(evidence) < DEFAULT_QUALITY.doubt_from


def test_the_newest_weigh_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are told beside those by which somebody is judged, and change no reliability."""
    monkeypatch.setattr(reliability, "MAX_JUDGED", 40)
    comparisons = simulate_comparisons(PEOPLE, 1_000, seed=5)
    judged = {each.seq for each in judged_by(comparisons)}
    marks = on_newest_queries(GivenLabels.of(comparisons))
    told = [
        each
        for each, is_new in zip(comparisons, marks, strict=True)
        if is_new or each.seq in judged
    ]
    assert {each.query_id for each in told} > {each.query_id for each in judged_by(comparisons)}
    assert len(judged) < len(told) < len(comparisons)
    whole = judgement(comparisons)
    assert judgement(told) == whole
    assert judgement(told[::-1]) == whole
    assert whole.reliability == judgement(judged_by(comparisons)).reliability


def test_ties_leave_nothing_unexplained() -> None:
    [one, *_] = simulate_comparisons({"ann": CAREFUL}, 1, overlap=0.0)
    said = judgement([replace(one, outcome="tie", choice=None)])
    assert said.newest == {"ann": ()}


def test_what_others_said_long_ago_of_the_same_queries_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever is slow is answered for by those who have gone on, and are judged by other labels."""
    monkeypatch.setattr(reliability, "MAX_JUDGED", 20)
    five = dict.fromkeys(("ann", "bob", "cid", "dan", "eve"), CAREFUL)
    rest = simulate_comparisons(five, 900, overlap=1.0, seed=7)
    early = rest[:100]  # all five on twenty queries, and since then on many more
    slow = [
        replace(each, labeler_id="slow", choice=1 - (each.choice or 0), seq=10_000 + number)
        for number, each in enumerate(early[::5])
    ]
    comparisons = [*rest, *slow]
    marks = on_newest_queries(GivenLabels.of(comparisons))
    assert all(marks[:100])
    judged = {each.seq for each in judged_by(comparisons)}
    told = [
        each for each, mark in zip(comparisons, marks, strict=True) if mark or each.seq in judged
    ]
    others_gone = [each for each in told if each.seq > 100 or each.seq in judged]
    nats = doubt(judgement(comparisons).newest["slow"])
    assert nats == doubt(judgement(told).newest["slow"])
    assert nats > doubt(judgement(others_gone).newest["slow"]) + 2
