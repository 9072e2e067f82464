"""PPO's losses, token by token. Shapes: B sequences, T response tokens.

Each returns one number a token, so that the caller divides by the tokens of the whole minibatch,
however many ranks share it.
"""

from __future__ import annotations

import torch
from torch import Tensor


def importance_weights(proximal_logprobs: Tensor, behavior_logprobs: Tensor, cap: float) -> Tensor:
    """Return w = min(π_prox / π_behave, cap), [B, T], without a gradient.

    AReaL (2025); the cap makes it truncated importance sampling, which also corrects an engine
    whose arithmetic differs from the trainer's.
    """
    return torch.exp(proximal_logprobs - behavior_logprobs).clamp(max=cap).detach()


def policy_loss(
    logprobs: Tensor,
    proximal_logprobs: Tensor,
    advantages: Tensor,
    weights: Tensor,
    clip_range: float,
) -> tuple[Tensor, Tensor]:
    """Return w·max(−A·ρ, −A·clip(ρ, 1 ± ε)) and whether the clip bound it, both [B, T].

    ρ = π_θ / π_prox. With π_prox the behaviour policy and w = 1 this is PPO (Schulman et al.
    2017); with π_prox of the step's start it is the decoupled objective (AReaL 2025).

    Args:
        logprobs: [B, T], of π_θ.
        proximal_logprobs: [B, T], of the policy clipped around.
        advantages: [B, T].
        weights: [B, T], w.
        clip_range: ε.
    """
    ratio = torch.exp(logprobs - proximal_logprobs)
    unclipped = -advantages * ratio
    clipped = -advantages * ratio.clamp(1 - clip_range, 1 + clip_range)
    return weights * torch.maximum(unclipped, clipped), (clipped > unclipped).detach()


def value_loss(values: Tensor, old_values: Tensor, returns: Tensor, clip_range: float) -> Tensor:
    """Return ½·max((V − R)², (clip(V) − R)²), [B, T]; V is clipped to V_old ± range.

    Ziegler et al. (2019), released code.
    """
    clipped = old_values + (values - old_values).clamp(-clip_range, clip_range)
    return 0.5 * torch.maximum((values - returns) ** 2, (clipped - returns) ** 2)
