"""The reward that the policy is trained for must not fall: PPO climbs it, or a sign is flipped.

Rewards are normalised on samples of ρ, so that one version's mean on them is another's, and PPO
only adds to it. Where the policy's mean score goes below ρ's and stays there, the learner works
against the reward: the bug of Ziegler et al. (2019, §4.4), seen from the inside, while people have
not yet been asked often enough to say so.

Those samples are few, so what ρ scores on all others is off by an error of its own under each
version, of variance σ²/N. Where the step was scored by another version than ρ's responses were,
both errors widen the threshold: as if they were independent, though one set of samples is behind
them, since how alike two versions are is not known here.

A reward version that thinks less of the policy than of ρ makes the mean low as well. Then the
policy climbs, under each version that stays for a few steps, which is told apart where it is fast
enough to be seen; where it is not, the line stops once, and a person has something to look at.
"""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from itertools import groupby
from statistics import fmean, pvariance

from pydantic import Field

from cluster.guards.settings import GuardSettings
from cluster.guards.verdict import Verdict
from protocol.messages import ScoredRollout

NAME = "score_falls"


class ScoreFallsConfig(GuardSettings):
    """How low, how long, and what counts as rising."""

    num_steps: int = Field(default=6, ge=2, le=1000)
    """Steps in a row that must be low. In two clean runs of the demo not one step was. [own]"""
    standard_errors: float = Field(default=3.0, ge=1, le=100)
    """A step is low if its mean score is so many standard errors below ρ's: of both means, and of
    the normalisation of the versions that scored them. [own]"""
    margin: float = Field(default=0.1, ge=0, le=1e6)
    """And so far below it, in standard deviations of ρ's scores. [own]"""
    rising_errors: float = Field(default=2.0, ge=0, le=100)
    """Low steps rise if what they gain under one and the same reward version, of all versions put
    together, is so many standard errors above 0: then the older half of them is forgotten. [own]"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LowStep:
    """A step whose mean score was low."""

    reward_version: int
    """The newest that scored any of it."""
    mean: float
    variance: float
    """Variance of the mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreFallsState:
    """What ρ scored, and the low steps in a row, oldest first."""

    num_reference: int = 0
    """Scores of ρ's responses, which were trained on in the first steps."""
    reference_mean: float = 0.0
    reference_variance: float = 0.0
    """Variance of one score, not of the mean."""
    reference_versions: tuple[int, ...] = ()
    """Reward versions that scored them, rising; empty in states that do not say."""
    low: tuple[LowStep, ...] = ()
    is_told: bool = False
    """Whether it has tripped on these steps: then it is silent until one is not low."""

    def without_steps(self) -> ScoreFallsState:
        """Return what is known of ρ alone."""
        return replace(self, low=(), is_told=False)


def judge(
    config: ScoreFallsConfig,
    state: ScoreFallsState,
    scored: Sequence[ScoredRollout],
    num_normalised: int,
) -> tuple[ScoreFallsState, Verdict | None]:
    """Take a step's responses, with what PPO is paid for each: a fixed score without an end.

    A run of which no step on ρ's responses was seen is not judged.

    Args:
        config: Thresholds.
        state: As the last call returned it.
        scored: The step's batch.
        num_normalised: N, responses of ρ that every reward version is normalised on.
    """
    scores = [each.score.value for each in scored]
    versions = {each.score.reward_version for each in scored}
    if all(each.rollout.newest_version == 0 for each in scored):
        return _with_reference(state, scores, versions), None
    if not state.num_reference:
        return state, None
    mean, variance = fmean(scores), pvariance(scores) / len(scores)
    of_reference = state.reference_variance / state.num_reference
    # One version alone has one error, on both sides of the comparison.
    is_one_version = versions == set(state.reference_versions) and len(versions) == 1
    of_versions = 0.0 if is_one_version else 2 * state.reference_variance / num_normalised
    lowest = state.reference_mean - max(
        config.margin * math.sqrt(state.reference_variance),
        config.standard_errors * math.sqrt(variance + of_reference + of_versions),
    )
    if mean >= lowest:
        return replace(state, low=(), is_told=False), None
    if state.is_told:
        return state, None
    low = (*state.low, LowStep(reward_version=max(versions), mean=mean, variance=variance))
    if len(low) < config.num_steps:
        return replace(state, low=low), None
    rise, error = _rise(low)
    if rise > config.rising_errors * error:
        return replace(state, low=low[len(low) // 2 :]), None
    verdict = Verdict(
        guard=NAME,
        reason=f"the policy scores {mean:.2f}, and ρ {state.reference_mean:.2f}: it was below for "
        f"{len(low)} steps and does not rise, as if it were trained against its reward",
        figures={
            "mean": mean,
            "reference_mean": state.reference_mean,
            "threshold": lowest,
            "num_steps": len(low),
            "rise": rise,
            "standard_error": error,
        },
    )
    return replace(state, low=(), is_told=True), verdict


def _rise(low: Sequence[LowStep]) -> tuple[float, float]:
    """Return what steps in a row gain under one version each, and its standard error.

    What changes as one version follows another is the reward's doing, not the policy's.
    """
    rise = variance = 0.0
    for _, steps in groupby(low, key=lambda each: each.reward_version):
        first, *others = steps
        if others:
            rise += others[-1].mean - first.mean
            variance += others[-1].variance + first.variance
    return rise, math.sqrt(variance)


def _with_reference(
    state: ScoreFallsState, scores: Sequence[float], versions: Set[int]
) -> ScoreFallsState:
    """Add scores of ρ's responses, by these reward versions, to those before them."""
    before, here = state.num_reference, len(scores)
    total = before + here
    mean, shift = fmean(scores), fmean(scores) - state.reference_mean
    # Two samples put together (Chan et al. 1979).
    squares = state.reference_variance * before + pvariance(scores, mean) * here
    return replace(
        state,
        num_reference=total,
        reference_mean=state.reference_mean + shift * here / total,
        reference_variance=(squares + shift**2 * before * here / total) / total,
        reference_versions=tuple(sorted({*versions, *state.reference_versions})),
    )
