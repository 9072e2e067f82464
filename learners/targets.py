"""From scores to what PPO's optimizer steps aim at: advantages, returns and weights of one batch.

Shapes: B sequences, T response tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from learners.advantages import gae, penalised_rewards, whiten
from learners.collate import Responses
from learners.config import PPOConfig
from learners.losses import importance_weights
from protocol.errors import NotFinite


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What the models said of a batch before the step; all [B, T], the same on every rank."""

    version: int
    """The policy version that they are of, the learner's at the step's start."""
    proximal_logprobs: Tensor
    """Log-probabilities under π_prox, the policy at the step's start."""
    reference_logprobs: Tensor
    """Log-probabilities under ρ."""
    values: Tensor
    entropy: Tensor

    def current(self, responses: Responses) -> Tensor:
        """Return which responses were sampled under this version from their first token on, [B]."""
        return responses.oldest_versions == self.version

    def penalised_logprobs(self, responses: Responses) -> Tensor:
        """Return the log-probabilities whose distance from ρ is paid and measured, [B, T].

        The KL is of the policy that sampled (Ziegler et al. 2019, released code). Of a response of
        this version that is π_prox, and the learner's own figure stands for the sampler's, which
        differs by arithmetic alone: a sampler's noise is no distance from ρ, and no policy can come
        nearer for having paid for it. Of an older one the behaviour policy is another, and the
        sampler's figure is all that is known of it; π_prox on tokens that it did not sample has no
        expectation that is a KL, and to be paid by it lets the policy run away.
        """
        return torch.where(
            self.current(responses)[:, None], self.proximal_logprobs, responses.behavior_logprobs
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """What the optimizer steps of one batch aim at; all [B, T]."""

    proximal_logprobs: Tensor
    """Log-probabilities under π_prox, the policy at the step's start."""
    center_logprobs: Tensor
    """Log-probabilities under the policy the ratio is clipped around: π_prox, or the behaviour
    policy when naive."""
    weights: Tensor
    old_values: Tensor
    advantages: Tensor
    returns: Tensor

    def rows(self, indices: Tensor, num_tokens: int) -> Targets:
        """Return the first tokens of some rows."""
        return Targets(
            **{each.name: getattr(self, each.name)[indices, :num_tokens] for each in fields(self)}
        )


def make_targets(
    responses: Responses, evaluation: Evaluation, ppo: PPOConfig, kl_coefficient: float
) -> Targets:
    """Turn scores and marks into advantages and returns, whitened over the whole batch.

    A token is paid for its mark at once, as in Wu et al. (2023); the score is paid at the end.

    Args:
        responses: With their scores, mark values and the log-probabilities they were sampled at.
        evaluation: What the models say of them.
        ppo: The algorithm.
        kl_coefficient: β.

    Raises NotFinite where an advantage or a return is NaN or infinite.
    """
    mask, behavior = responses.mask, responses.behavior_logprobs
    # What is paid is the KL that is measured and controlled: that of the policy that sampled.
    paid, reference = evaluation.penalised_logprobs(responses), evaluation.reference_logprobs
    rewards = penalised_rewards(responses.scores, paid, reference, mask, kl_coefficient)
    if ppo.mark_coefficient > 0:
        rewards = rewards + ppo.mark_coefficient * responses.mark_values
    if ppo.whiten_rewards:
        rewards = whiten(rewards, mask, shift_mean=False)
    advantages, returns = gae(rewards, evaluation.values, mask, ppo.gamma, ppo.gae_lambda)
    if ppo.whiten_advantages:
        advantages = whiten(advantages, mask, shift_mean=True)
    advantages = advantages + ppo.affirmative_nudge * mask
    if not bool(advantages.isfinite().all() and returns.isfinite().all()):
        raise NotFinite("an advantage is NaN or infinite: see the batch's scores and logprobs")
    proximal, decoupled = evaluation.proximal_logprobs, ppo.objective == "decoupled"
    weights = importance_weights(proximal, behavior, ppo.importance_weight_cap)
    return Targets(
        proximal_logprobs=proximal,
        center_logprobs=proximal if decoupled else behavior,
        weights=weights if decoupled else torch.ones_like(weights),
        old_values=evaluation.values,
        advantages=advantages,
        returns=returns,
    )
