"""The parts that can be replayed, each with how far apart its floats may be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cluster.replay.outcome import Outcome, Window
from cluster.replay.recording import Recording

Replay = Callable[[Recording, Window, float], Iterator[Outcome]]
"""(run, which versions, tolerance) → message by message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of a run."""

    load: Callable[[], Replay]
    """Imports what it is made of, and returns how it is replayed."""
    tolerance: float
    """Largest difference of two floats that pass for the same, unless another is given; 0: bit for
    bit."""


def _learner() -> Replay:
    from cluster.replay.learner import replay_learner

    return replay_learner


def _reward_trainer() -> Replay:
    from cluster.replay.reward_trainer import replay_reward_trainer

    return replay_reward_trainer


def _reward_service() -> Replay:
    from cluster.replay.reward_service import replay_reward_service

    return replay_reward_service


def _label_queue() -> Replay:
    from cluster.replay.label_queue import replay_label_queue

    return replay_label_queue


def _rollouts() -> Replay:
    from cluster.replay.rollouts import replay_rollouts

    return replay_rollouts


PARTS = {
    "learner": Part(load=_learner, tolerance=0.0),
    "reward-trainer": Part(load=_reward_trainer, tolerance=0.0),
    "reward-service": Part(load=_reward_service, tolerance=1e-5),
    "label-queue": Part(load=_label_queue, tolerance=0.0),
    "rollouts": Part(load=_rollouts, tolerance=1e-4),
}
"""By the name that the command line has for them. Forward passes that were shared otherwise round
otherwise: so scores and log-probabilities may be apart by a little."""
