"""Comparisons as tensors: padding, places, accuracy, calibration, bootstrap."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
import torch

from learners.comparisons import (
    bootstrap_counts,
    calibration_error,
    collate_comparisons,
    comparison_losses,
    hits,
)
from protocol.fits import Comparison


def comparison(outcome: str, candidates: int = 2, **fields: object) -> Comparison:
    defaults: dict[str, Any] = {
        "seq": 1,
        "query_id": "q",
        "labeler_id": "ann",
        "purpose": "train",
        "prompt_token_ids": (1, 2),
        "candidate_token_ids": tuple((3 + k,) * (k + 1) for k in range(candidates)),
        "policy_versions": (0,) * candidates,
        "outcome": outcome,
        "choice": None,
        "ranking": None,
    }
    return Comparison(**{**defaults, **fields})


MIXED = (
    comparison("choice", 3, choice=2),
    comparison("tie"),
    comparison("ranking", 3, ranking=(1, 2, 0), labeler_id="bob"),
)


def test_collated_as_one_block() -> None:
    batch = collate_comparisons(MIXED, {"bob": 0.8})
    assert batch.input_ids.shape == (8, 5)
    assert batch.input_ids[1].tolist() == [1, 2, 4, 4, 0]
    assert batch.attention_mask[1].tolist() == [1, 1, 1, 1, 0]
    assert batch.mask.tolist() == [[1, 1, 1], [1, 1, 0], [1, 1, 1]]
    assert batch.ranks.tolist() == [[1, 1, 0], [0, 0, 0], [2, 0, 1]]
    assert batch.reliability.tolist() == pytest.approx([1.0, 1.0, 0.8])


def test_each_outcome_gets_its_own_loss() -> None:
    batch = collate_comparisons(MIXED, {})
    losses = comparison_losses(torch.zeros(3, 3, 1), batch)
    assert losses[:, 0].tolist() == pytest.approx([math.log(3), math.log(2), math.log(2)])


def test_hits_leave_ties_out() -> None:
    scores = torch.tensor([[0.0, 1.0, 2.0], [1.0, 0.0, 9.0], [3.0, 1.0, 0.0]])
    hit, decided = hits(scores, collate_comparisons(MIXED, {}))
    assert hit.tolist() == [True, False, False]
    assert decided.tolist() == [True, False, True]


def test_calibration_error_by_hand() -> None:
    confidence = torch.tensor([0.95, 0.95, 0.55, 0.55])
    hit = torch.tensor([True, True, True, False])
    # bins: |2 − 1.9| and |1 − 1.1|, over 4
    assert calibration_error(confidence, hit) == pytest.approx(0.05)


def test_bootstrap_is_poisson_one_and_a_function_of_the_label() -> None:
    labels = [comparison("tie", query_id=f"q{n}") for n in range(4000)]
    counts = bootstrap_counts(labels, num_heads=2, seed=1)
    assert torch.equal(counts[5:6], bootstrap_counts(labels[5:6], num_heads=2, seed=1))
    assert not torch.equal(counts[:, 0], counts[:, 1])
    shares = Counter(counts[:, 0].tolist())
    assert shares[0.0] / 4000 == pytest.approx(math.exp(-1), abs=0.03)
    assert shares[2.0] / 4000 == pytest.approx(math.exp(-1) / 2, abs=0.03)
    assert counts.mean().item() == pytest.approx(1.0, abs=0.04)
