from __future__ import annotations

from pathlib import Path

import pytest
import torch

from protocol.errors import InputError, NotFinite
from reward_service.batching import raw_scores
from reward_service.buckets import BatchLimits
from reward_service.config import NormalisationRule
from reward_service.normalisation import gain_and_bias, normalise
from tests.support.reward import make_reward_model

SEQUENCES = [tuple(range(4, 4 + n)) for n in range(1, 17)]


def test_reference_gives_mean_0_and_variance_1() -> None:
    # Head 0: 1, 3, mean 2, deviation 1. Head 1: 0, 8, mean 4, deviation 4.
    gain, bias = gain_and_bias(torch.tensor([[1.0, 0.0], [3.0, 8.0]]), "reference")
    assert gain.tolist() == [1.0, 0.25]
    assert bias.tolist() == [-2.0, -1.0]


@pytest.mark.parametrize("rule", ["zero_at_reference", "zero_at_demonstrations"])
def test_the_shifting_rules_leave_the_scale_alone(rule: NormalisationRule) -> None:
    gain, bias = gain_and_bias(torch.tensor([[1.0, 0.0], [3.0, 8.0]]), rule)
    assert gain.tolist() == [1.0, 1.0]
    assert bias.tolist() == [-2.0, -4.0]


def test_normalise_sets_each_head_alone_and_twice_is_once(
    reference: Path, limits: BatchLimits
) -> None:
    model = make_reward_model(reference, num_heads=3)
    normalise(model, raw_scores(model, SEQUENCES, limits))
    gain = model.gain.clone()
    scores = model.normalised(raw_scores(model, SEQUENCES, limits))
    torch.testing.assert_close(scores.mean(dim=0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(scores.var(dim=0, correction=0), torch.ones(3))
    normalise(model, raw_scores(model, SEQUENCES, limits))
    assert torch.equal(model.gain, gain)


@pytest.mark.parametrize("scores", [[1.0, float("nan")], [0.1, 0.1], [100.0, 100.00001]])
def test_scores_that_say_nothing_are_an_error(scores: list[float]) -> None:
    with pytest.raises(NotFinite):
        gain_and_bias(torch.tensor(scores)[:, None], "reference")


def test_one_sample_is_too_few() -> None:
    with pytest.raises(InputError, match="at least 2"):
        gain_and_bias(torch.tensor([[1.0]]), "reference")
