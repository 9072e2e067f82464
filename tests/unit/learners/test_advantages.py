"""Rewards, advantages and whitening against numbers worked out by hand."""

from __future__ import annotations

import torch

from learners.advantages import gae, penalised_rewards, whiten


def test_score_lands_on_the_last_token_of_each_response() -> None:
    rewards = penalised_rewards(
        scores=torch.tensor([2.0, -1.0]),
        policy_logprobs=torch.tensor([[-1.0, -2.0, -3.0], [-1.0, -1.0, 9.0]]),
        reference_logprobs=torch.tensor([[-1.5, -1.0, -3.0], [-2.0, -4.0, 7.0]]),
        mask=torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0]]),
        kl_coefficient=0.1,
    )
    # −0.1·(0.5, −1, 0) with 2 on the third; −0.1·(1, 3) with −1 on the second, padding nothing
    expected = torch.tensor([[-0.05, 0.1, 2.0], [-0.1, -1.3, 0.0]])
    torch.testing.assert_close(rewards, expected)


def test_gae_by_hand() -> None:
    advantages, returns = gae(
        rewards=torch.tensor([[1.0, 0.0, 2.0]]),
        values=torch.tensor([[0.5, 1.0, 1.5]]),
        mask=torch.ones(1, 3),
        gamma=0.9,
        gae_lambda=0.5,
    )
    # δ₃ = 2 − 1.5 = 0.5; δ₂ = 0.9·1.5 − 1 = 0.35; δ₁ = 1 + 0.9 − 0.5 = 1.4; γλ = 0.45
    # A₃ = 0.5; A₂ = 0.35 + 0.225 = 0.575; A₁ = 1.4 + 0.25875 = 1.65875
    torch.testing.assert_close(advantages, torch.tensor([[1.65875, 0.575, 0.5]]))
    torch.testing.assert_close(returns, torch.tensor([[2.15875, 1.575, 2.0]]))


def test_gae_ends_where_the_response_ends() -> None:
    advantages, returns = gae(
        rewards=torch.tensor([[1.0, 2.0, 7.0]]),
        values=torch.tensor([[0.5, 1.0, 9.0]]),
        mask=torch.tensor([[1.0, 1.0, 0.0]]),
        gamma=1.0,
        gae_lambda=1.0,
    )
    torch.testing.assert_close(advantages, torch.tensor([[2.5, 1.0, 0.0]]))
    torch.testing.assert_close(returns, torch.tensor([[3.0, 2.0, 0.0]]))


def test_whitening_uses_the_population_variance() -> None:
    x, mask = torch.tensor([[1.0, 3.0, 100.0]]), torch.tensor([[1.0, 1.0, 0.0]])
    # μ = 2, σ² = 1
    torch.testing.assert_close(whiten(x, mask, shift_mean=True), torch.tensor([[-1.0, 1.0, 0.0]]))
    torch.testing.assert_close(whiten(x, mask, shift_mean=False), torch.tensor([[1.0, 3.0, 0.0]]))


def test_whitening_scales_but_keeps_the_mean() -> None:
    # μ = 4, σ² = 4: (2, 6) → ∓1 + 4
    whitened = whiten(torch.tensor([[2.0, 6.0]]), torch.ones(1, 2), shift_mean=False)
    torch.testing.assert_close(whitened, torch.tensor([[3.0, 5.0]]))


def test_whitening_a_constant_gives_zeros_not_nan() -> None:
    whitened = whiten(torch.full((2, 2), 3.0), torch.ones(2, 2), shift_mean=True)
    assert whitened.tolist() == [[0.0, 0.0], [0.0, 0.0]]
