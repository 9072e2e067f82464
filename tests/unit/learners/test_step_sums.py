"""What optimizer steps tell, put together by hand: two epochs of two minibatches."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from learners.config import DeepSpeedConfig, PPOConfig
from learners.step_sums import StepSums
from tests.support.metric_proofs import proves
from tests.support.plain_engine import PlainEngine

PPO = PPOConfig(batch_size=4, minibatches=2, epochs=2)
KL = (0.0, 0.01, 0.02, 0.03)
"""A token, as each optimizer step found it."""
LENGTHS = (3.0, 5.0, 5.0, 3.0)
"""Tokens a response of each one's minibatch."""


def sums(*, has_text: bool = False) -> dict[str, float]:
    engine: Any = PlainEngine(torch.nn.Linear(1, 1), DeepSpeedConfig())
    found = StepSums(engine, PPO, has_text=has_text)
    for i, (kl, length) in enumerate(zip(KL, LENGTHS, strict=True)):
        told = torch.tensor([1.0 + i, 2.0, kl, 0.5, 0.25])
        found.add(told, grad_norm=float(i), mean_length=torch.tensor(length))
    return found.metrics()


@proves("policy/step_kl")
def test_how_far_the_step_moved_is_told_a_response_by_the_last_epoch() -> None:
    found = sums()
    assert found["policy/step_kl"] == pytest.approx((0.02 * 5 + 0.03 * 3) / 2)
    assert found["policy/approx_kl"] == pytest.approx(0.015)


def test_all_else_is_a_mean_over_the_optimizer_steps() -> None:
    found = sums()
    assert found["policy/loss"] == pytest.approx(2.5)
    assert found["policy/grad_norm"] == pytest.approx(1.5)
    assert found["policy/clip_fraction"] == pytest.approx(0.5)
    assert "policy/ptx_loss" not in found


def test_text_is_told_of_where_it_was_trained_on() -> None:
    assert sums(has_text=True)["policy/ptx_loss"] == pytest.approx(0.25)
