"""Scores depend on a sequence alone: not on padding, company or order."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reward_service.batching import pad_right, raw_scores
from reward_service.buckets import BatchLimits, buckets
from reward_service.normalisation import gain_and_bias
from reward_service.reward_model import RewardModel
from tests.support.reward import make_reward_model
from tests.support.tiny_model import save_tiny_model

untimed = settings(deadline=None)
"""A busy machine is no failure."""

NUM_TOKENS = 50
CONTEXT = 64

sequences = st.lists(
    st.lists(st.integers(0, NUM_TOKENS - 1), min_size=1, max_size=16), min_size=1, max_size=8
)
limits = st.builds(
    BatchLimits, max_tokens=st.integers(1, 200), max_sequences=st.integers(1, 10)
)  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> RewardModel:
    reference = save_tiny_model(tmp_path_factory.mktemp("reference") / "tiny-gpt2")
    return make_reward_model(reference, num_heads=2)


@untimed
@given(
    sequence=st.lists(st.integers(0, NUM_TOKENS - 1), min_size=1, max_size=16),
    padding=st.lists(st.integers(0, NUM_TOKENS - 1), max_size=CONTEXT - 16),
)
def test_padding_never_changes_a_score(
    model: RewardModel, sequence: list[int], padding: list[int]
) -> None:
    mask = torch.tensor([[1] * len(sequence) + [0] * len(padding)])
    with torch.no_grad():
        padded = model(torch.tensor([[*sequence, *padding]]), mask)
        alone = model(*pad_right([sequence]))
    torch.testing.assert_close(padded, alone, atol=1e-4, rtol=1e-4)


@untimed
@given(sequences=sequences, limits=limits, shuffle=st.randoms(use_true_random=False))
def test_neither_company_nor_order_changes_a_score(
    model: RewardModel, sequences: list[list[int]], limits: BatchLimits, shuffle: random.Random
) -> None:
    order = list(range(len(sequences)))
    shuffle.shuffle(order)
    together = raw_scores(model, sequences, limits)
    shuffled = raw_scores(model, [sequences[i] for i in order], limits)
    torch.testing.assert_close(together[order], shuffled, atol=1e-4, rtol=1e-4)


@untimed
@given(lengths=st.lists(st.integers(1, 50)), limits=limits)
def test_buckets_hold_everything_once_within_the_limits(
    lengths: list[int], limits: BatchLimits
) -> None:
    batches = buckets(lengths, limits)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) <= limits.max_sequences
        padded = len(batch) * max(lengths[index] for index in batch)
        assert padded <= limits.max_tokens or len(batch) == 1


@untimed
@given(
    raw=st.lists(st.floats(-100, 100, width=32), min_size=2, max_size=50).filter(
        lambda scores: max(scores) - min(scores) > 0.1
    )
)
def test_normalised_scores_have_mean_0_and_variance_1(raw: list[float]) -> None:
    scores = torch.tensor(raw, dtype=torch.float64)[:, None]
    gain, bias = gain_and_bias(scores, "reference")
    normalised = gain * scores + bias
    assert normalised.mean().item() == pytest.approx(0, abs=1e-6)
    assert normalised.var(correction=0).item() == pytest.approx(1, rel=1e-6)
    rising = normalised[scores[:, 0].argsort(), 0]
    assert bool((rising.diff() >= 0).all())
