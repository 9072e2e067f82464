"""PPO's losses against numbers worked out by hand."""

from __future__ import annotations

import math

import torch

from learners.losses import importance_weights, policy_loss, value_loss

LOG = math.log


def test_ratio_is_clipped_only_where_that_is_worse() -> None:
    ratios = torch.tensor([[1.5, 1.5, 0.5, 0.5, 1.1]])
    advantages = torch.tensor([[1.0, -1.0, 1.0, -1.0, 2.0]])
    losses, clipped = policy_loss(
        ratios.log(), torch.zeros(1, 5), advantages, torch.ones(1, 5), clip_range=0.2
    )
    torch.testing.assert_close(losses, torch.tensor([[-1.2, 1.5, -0.5, 0.8, -2.2]]))
    assert clipped.tolist() == [[True, False, False, True, False]]


def test_decoupled_objective_weighs_each_token_and_caps_the_weight() -> None:
    proximal = torch.tensor([[LOG(0.3), LOG(0.4), LOG(0.9)]])
    behavior = torch.tensor([[LOG(0.6), LOG(0.4), LOG(0.1)]])
    weights = importance_weights(proximal, behavior, cap=2.0)
    torch.testing.assert_close(weights, torch.tensor([[0.5, 1.0, 2.0]]))
    losses, _ = policy_loss(proximal, proximal, torch.ones(1, 3), weights, clip_range=0.2)
    torch.testing.assert_close(losses, torch.tensor([[-0.5, -1.0, -2.0]]))


def test_the_weight_has_no_gradient_and_the_ratio_has() -> None:
    logprobs = torch.tensor([[-1.0]], requires_grad=True)
    weights = importance_weights(logprobs, torch.tensor([[-1.5]]), cap=2.0)
    losses, _ = policy_loss(
        logprobs, logprobs.detach(), torch.tensor([[3.0]]), weights, clip_range=0.2
    )
    losses.sum().backward()
    # d/dlogp of −w·A·exp(logp − logp₀) at logp₀ is −w·A
    assert logprobs.grad is not None
    torch.testing.assert_close(logprobs.grad, torch.tensor([[-3.0 * math.exp(0.5)]]))


def test_value_loss_takes_the_worse_of_clipped_and_unclipped() -> None:
    losses = value_loss(
        values=torch.tensor([[1.0, 0.1, 3.0]]),
        old_values=torch.tensor([[0.0, 0.0, 0.0]]),
        returns=torch.tensor([[1.0, 1.0, 0.0]]),
        clip_range=0.2,
    )
    # clipped to 0.2, 0.1, 0.2: ½·max(0, 0.64), ½·max(0.81, 0.81), ½·max(9, 0.04)
    torch.testing.assert_close(losses, torch.tensor([[0.32, 0.405, 4.5]]))
