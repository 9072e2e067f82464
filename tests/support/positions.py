"""Where a learner stands as it is kept."""

from __future__ import annotations

from learners.checkpoint import Position


def make_position(
    version: int,
    *,
    batch_size: int = 16,
    kl_coefficient: float = 0.1,
    reward_version: int = 2,
    learned_through: int = 5,
) -> Position:
    """Return where a learner stands that has taken one step for each version."""
    return Position(
        version=version,
        num_steps=version,
        episodes=batch_size * version,
        kl_coefficient=kl_coefficient,
        reward_version=reward_version,
        learned_through=learned_through,
    )
