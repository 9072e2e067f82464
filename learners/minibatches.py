"""How the batch of a PPO step is cut into the minibatches of its optimizer steps."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from learners.config import PPOConfig
from protocol.errors import ConfigError
from protocol.seeds import derived_seed


def check_size(num_rollouts: int, ppo: PPOConfig, num_ranks: int) -> None:
    """Raise ConfigError where a batch cannot be cut evenly into minibatches and ranks."""
    unit = ppo.minibatches * num_ranks
    if num_rollouts % unit:
        raise ConfigError(
            f"a batch of {num_rollouts} episodes cannot be cut into {ppo.minibatches} "
            f"minibatches on {num_ranks} ranks: make ppo.batch_size a multiple of {unit}"
        )


def minibatches(num_rows: int, ppo: PPOConfig, seed: int, num_steps: int) -> Iterator[Tensor]:
    """Yield the rows of each optimizer step's minibatch, epoch after epoch.

    Their order follows the seed and the steps alone: every rank has the same.

    Args:
        num_rows: B, a multiple of the minibatches.
        ppo: How many epochs and minibatches there are.
        seed: Of the learner.
        num_steps: PPO steps from ρ to this one.
    """
    order = torch.Generator().manual_seed(derived_seed(seed, "minibatches", num_steps))
    for _ in range(ppo.epochs):
        yield from torch.randperm(num_rows, generator=order).chunk(ppo.minibatches)
