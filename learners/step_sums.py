"""What the optimizer steps of one PPO step tell of themselves, put together into its metrics."""

from __future__ import annotations

import torch
from torch import Tensor

from learners.config import PPOConfig
from learners.engine import Engine
from learners.pretraining import NUM_SUMS

_KL = 2
"""Which of a pass's sums is that of ½·(log π_θ − log π_prox)²."""


class StepSums:
    """Adds up what each optimizer step tells; one for each PPO step.

    `policy/step_kl` estimates KL(π_prox‖π_θ) of a response, π_θ being the version that the step
    makes: Σ_t ½·(log π_θ − log π_prox)² over its tokens, as the KL of whole responses is that of
    their next-token distributions, added up along them. The last epoch is taken, which is nearest
    to what the step makes. It is biased:

    - low, as a minibatch is measured before its own optimizer step and those after it: by a sixth
      with four epochs of four minibatches, where optimizer steps go each its own way, by more than
      a quarter where they go one way; with one optimizer step alone it is 0;
    - high, as it is measured on the responses trained on, whose probabilities move most;
    - either way, as far as these were sampled by an older version than π_prox.

    Args:
        engine: Whose ranks share the minibatches.
        ppo: How many optimizer steps there will be.
        has_text: Whether text is trained on beside the responses.
    """

    def __init__(self, engine: Engine, ppo: PPOConfig, *, has_text: bool) -> None:
        self._engine = engine
        self._has_text = has_text
        self._minibatches = ppo.minibatches
        self._num_steps = ppo.epochs * ppo.minibatches
        self._num_added = 0
        self._totals = torch.zeros(NUM_SUMS, device=engine.device)
        self._grad_norm = 0.0
        self._last_kl = torch.zeros(1, device=engine.device)
        """KL a response of the minibatches of the last epoch, added up."""

    def add(self, told: Tensor, grad_norm: float, mean_length: Tensor) -> None:
        """Take in one optimizer step, the oldest first.

        Args:
            told: [NUM_SUMS], this rank's share of the minibatch's means a token.
            grad_norm: Before clipping.
            mean_length: Tokens of the minibatch's responses, a response.
        """
        self._totals += told
        self._grad_norm += grad_norm
        if self._num_added >= self._num_steps - self._minibatches:
            self._last_kl += told[_KL] * mean_length
        self._num_added += 1

    def metrics(self) -> dict[str, float]:
        """Return the means over the optimizer steps, once all were added. A collective."""
        summed = self._engine.summed(torch.cat([self._totals, self._last_kl]))
        loss, values, kl, clipped, ptx = (summed[:NUM_SUMS] / self._num_steps).tolist()
        metrics = {
            "policy/loss": loss,
            "policy/value_loss": values,
            "policy/approx_kl": kl,
            "policy/step_kl": float(summed[-1]) / self._minibatches,
            "policy/clip_fraction": clipped,
            "policy/grad_norm": self._grad_norm / self._num_steps,
        }
        if self._has_text:
            metrics["policy/ptx_loss"] = ptx
        return metrics
