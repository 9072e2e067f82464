"""What a run is doing now, in words: the same in the terminal, in `status` and to the owner."""

from __future__ import annotations

from dataclasses import dataclass

from cluster.loops.time_spent import Doing
from protocol.fits import FitKind

BRIEF_S = 2.0
"""A learner that waits for less than this between two steps is still training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopState:
    """What the loops of a run are doing."""

    learner: Doing | None
    """What the learner does or waits for; None before it begins, and between two things."""
    learner_for_s: float
    """Seconds for which the learner has done so; of no meaning where `learner` is None."""
    is_learning: bool
    """Whether the first PPO step has begun."""
    has_reward: bool
    """Whether a reward version is served: before it nothing can be scored."""
    fit: FitKind | None
    """Kind of the fit that the reward trainer is at; None: it is at none."""
    is_cord_pulled: bool


_WAITS = {
    "labels": "waiting for labels",
    "rollouts": "waiting for rollouts",
    "scores": "waiting for scores",
    "reward": "waiting for a reward to be judged",
}


def activity(state: LoopState) -> str:
    """Return what the run is doing now, e.g. "waiting for labels"."""
    if state.learner == "rollback":
        return "rolling back the policy"
    if state.is_cord_pulled:
        is_stepping = state.learner == "step"
        return "finishing a step before the cord" if is_stepping else "stopped by the cord"
    if not state.has_reward:
        return _before_the_first_reward(state)
    waits = _WAITS.get(state.learner or "")
    if waits is None or (state.is_learning and state.learner_for_s < BRIEF_S):
        return "training" if state.is_learning else "starting to train"
    return waits


def _before_the_first_reward(state: LoopState) -> str:
    if state.fit is not None:
        return "fitting the first reward"
    # The learner stops waiting for labels once enough have come for the fit that follows.
    is_enough = state.learner not in (None, "labels")
    return "about to fit the first reward" if is_enough else "collecting first labels"
