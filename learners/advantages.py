"""Per-token rewards and advantages. Shapes: B sequences, T response tokens; masks are 1 on tokens.

Responses of unlike lengths are padded on the right; what stands in the padding changes nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor


def penalised_rewards(
    scores: Tensor,
    policy_logprobs: Tensor,
    reference_logprobs: Tensor,
    mask: Tensor,
    kl_coefficient: float,
) -> Tensor:
    """Return r_t = −β·(log π(y_t) − log ρ(y_t)), the score added at the last token: [B, T].

    Ziegler et al. (2019), released code: π is the policy that sampled, whose KL the controller
    measures; see `Evaluation.penalised_logprobs`. Padding gets 0.

    Args:
        scores: [B], the reward model's.
        policy_logprobs: [B, T], nats, of the policy that sampled, under the sampling temperature,
            as the reference's are; 0 in the padding.
        reference_logprobs: [B, T].
        mask: [B, T].
        kl_coefficient: β.
    """
    rewards = -kl_coefficient * (policy_logprobs - reference_logprobs) * mask
    last = mask.long().sum(dim=1, keepdim=True) - 1
    return rewards.scatter_add(1, last, scores[:, None])


def gae(
    rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, gae_lambda: float
) -> tuple[Tensor, Tensor]:
    """Return advantages and returns, both [B, T], 0 in the padding.

    A_t = Σ_l (γλ)^l δ_{t+l} with δ_t = r_t + γ·V_{t+1} − V_t and V = 0 after the last token
    (Schulman et al. 2016); returns are A + V. λ = 1 makes returns the discounted sum of rewards,
    λ = 0 makes advantages δ.

    Args:
        rewards: [B, T].
        values: [B, T], of the state before each token.
        mask: [B, T].
        gamma: γ.
        gae_lambda: λ.
    """
    values = values * mask
    following = torch.cat([values[:, 1:], torch.zeros_like(values[:, :1])], dim=1)
    deltas = (rewards + gamma * following - values) * mask
    advantages = torch.empty_like(deltas)
    advantage = torch.zeros_like(deltas[:, 0])
    for t in reversed(range(deltas.shape[1])):
        advantage = deltas[:, t] + gamma * gae_lambda * advantage
        advantages[:, t] = advantage
    return advantages, advantages + values


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of `x` over the mask, a scalar."""
    return (x * mask).sum() / mask.sum()


def whiten(x: Tensor, mask: Tensor, *, shift_mean: bool) -> Tensor:
    """Return `x` scaled to variance 1 over the mask, its mean kept unless `shift_mean`.

    (x − μ)/√(σ² + 1e-8), plus μ again where the mean stays; σ² is the population variance
    (Ziegler et al. 2019, released code). Padding gets 0.
    """
    mean = masked_mean(x, mask)
    variance = masked_mean((x - mean) ** 2, mask)
    whitened = (x - mean) * torch.rsqrt(variance + 1e-8)
    return (whitened if shift_mean else whitened + mean) * mask
