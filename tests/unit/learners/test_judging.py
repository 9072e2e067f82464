"""Accuracy, loss and calibration of scores, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from learners.judging import judge
from protocol.fits import Comparison


def comparison(outcome: str, choice: int | None = None, num_candidates: int = 2) -> Comparison:
    return Comparison(
        seq=1,
        query_id="q",
        labeler_id="ann",
        purpose="train",
        prompt_token_ids=(1,),
        candidate_token_ids=tuple((4 + k,) for k in range(num_candidates)),
        policy_versions=(0,) * num_candidates,
        outcome=outcome,  # type: ignore[arg-type]
        choice=choice,
        ranking=None,
    )


def test_hits_loss_chance_and_calibration_are_those_of_the_scores() -> None:
    # σ(ln 3) = 0.75: sure to 75 % of the first of two, right once and wrong once; and of four alike
    # the first is taken, sure to 25 %, right.
    scores = torch.tensor([[math.log(3)], [0.0], [math.log(3)], [0.0], *[[0.0]] * 4])
    given = [comparison("choice", 0), comparison("choice", 1), comparison("choice", 0, 4)]
    found = judge(scores, given)
    assert (found.num_comparisons, found.num_decided, found.num_hits) == (3, 3, 2)
    assert found.accuracy == pytest.approx(2 / 3)
    assert found.chance == pytest.approx((0.5 + 0.5 + 0.25) / 3)
    assert found.loss == pytest.approx(-(math.log(0.75) + math.log(0.25) + math.log(0.25)) / 3)
    # |1 + 0 − 1.5| + |1 − 0.25|, over three.
    assert found.calibration_error == pytest.approx((0.5 + 0.75) / 3)


def test_ties_have_a_loss_and_no_accuracy() -> None:
    found = judge(torch.tensor([[0.0], [0.0]]), [comparison("tie")])
    assert (found.accuracy, found.chance, found.calibration_error) == (None, None, None)
    assert found.loss == pytest.approx(math.log(2))


def test_the_heads_decide_together() -> None:
    scores = torch.tensor([[3.0, -1.0], [0.0, 0.0]])
    assert judge(scores, [comparison("choice", 0)]).num_hits == 1
    assert judge(-scores, [comparison("choice", 0)]).num_hits == 0
