"""Doubt: what speaks for chance in the newest answers, by hand and of simulated labelers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from label_queue.config import DEFAULT_QUALITY
from label_queue.quality import reliability
from label_queue.quality.doubt import NUM_NEWEST, newest, of_repeats, unexplained
from label_queue.quality.given import GivenLabels
from label_queue.quality.reliability import judged_by, judgement
from label_queue.simulated.config import LabelerProfile
from protocol.fits import Comparison
from tests.support.simulated_labels import CAREFUL, RANDOM, simulate_comparisons

TURNS_AFTER = 60
TURNER = LabelerProfile(beta=7.5, adversarial_after=TURNS_AFTER)
PEOPLE = {**{f"good-{i}": CAREFUL for i in range(9)}, "turner": TURNER}


def pairs(*truth: float) -> float:
    return unexplained(np.array(truth), np.full(len(truth), 0.5))


def test_what_nobody_could_foresee_says_nothing() -> None:
    assert pairs(0.5, 0.5, 0.5) == pytest.approx(0.0, abs=1e-12)
    assert pairs() == 0.0


def test_it_adds_up_from_zero_and_what_is_expected_takes_it_back() -> None:
    # −log(0.85·0.1/0.5 + 0.15) = 1.1394; −log(0.85·0.9/0.5 + 0.15) = −0.5188
    assert pairs(0.1) == pytest.approx(1.1394, abs=1e-4)
    assert pairs(0.9, 0.9, 0.1, 0.9) == pytest.approx(0.6206, abs=1e-4)
    four = unexplained(np.array([0.1]), np.array([0.25]))
    assert four == pytest.approx(0.7133, abs=1e-4)  # −log(0.85·0.4 + 0.15)
    assert pairs(0.0) == pytest.approx(1.8971, abs=1e-4)  # no answer says more


def test_repeats_answered_otherwise_speak_for_chance() -> None:
    # Of pairs 0.9² + 0.1² = 0.82: log(0.5/0.18) = 1.0217, log(0.5/0.82) = −0.4947
    assert of_repeats([False], 2) == pytest.approx(1.0217, abs=1e-4)
    assert of_repeats([True, False, True], 2) == pytest.approx(0.5270, abs=1e-4)
    # Of four 0.9² + 0.1²/3 = 0.8133: log(0.75/0.1867) = 1.3907
    assert of_repeats([False], 4) == pytest.approx(1.3907, abs=1e-4)
    assert of_repeats([], 2) == 0.0


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


def test_who_turns_is_in_doubt_before_gold_could_tell_and_the_others_are_not() -> None:
    comparisons = simulate_comparisons(PEOPLE, 1_400, seed=3)
    doubted_at: dict[str, int] = {}
    for end in range(400, 1_400, 20):
        so_far = comparisons[:end]
        for name, nats in judgement(so_far).unexplained.items():
            if nats >= DEFAULT_QUALITY.doubt_from:
                doubted_at.setdefault(name, given_by(name, so_far))
    since_turn = doubted_at.pop("turner") - TURNS_AFTER
    assert 0 < since_turn <= 20  # of which one is gold
    assert len(doubted_at) <= 3


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
    doubt = DEFAULT_QUALITY.doubt_from
    assert judgement([*rest, *own]).unexplained["turner"] > doubt
    assert judgement([*rest, *own, *since]).unexplained["turner"] < doubt


def test_the_newest_weigh_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are told beside those by which somebody is judged, and change no reliability."""
    monkeypatch.setattr(reliability, "MAX_JUDGED", 40)
    comparisons = simulate_comparisons(PEOPLE, 1_000, seed=5)
    judged = {each.seq for each in judged_by(comparisons)}
    marks = newest(GivenLabels.of(comparisons))
    told = [
        each
        for each, is_new in zip(comparisons, marks, strict=True)
        if is_new or each.seq in judged
    ]
    assert len(judged) < len(told) < len(comparisons)
    whole = judgement(comparisons)
    assert judgement(told) == whole
    assert judgement(told[::-1]) == whole
    assert whole.reliability == judgement(judged_by(comparisons)).reliability


def test_ties_leave_nothing_unexplained() -> None:
    [one, *_] = simulate_comparisons({"ann": CAREFUL}, 1, overlap=0.0)
    said = judgement([replace(one, outcome="tie", choice=None)])
    assert said.unexplained == {"ann": 0.0}
