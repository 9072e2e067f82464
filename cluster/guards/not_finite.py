"""NaN or infinity: what a part said of it, and on what it came."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from cluster.guards.settings import GuardSettings
from cluster.guards.verdict import NUM_SAMPLES, Sample, Verdict, shown
from protocol.errors import NotFinite
from protocol.messages import Rollout, ScoredRollout

NAME = "not_finite"


class NotFiniteConfig(GuardSettings):
    """Whether the cord is pulled. If not, NaN ends the run: it is never gone on with."""


def of_step(error: NotFinite, scored: Sequence[ScoredRollout], step: int) -> Verdict:
    """Return what there is to say of a PPO step that was broken off."""
    broken = [each for each in scored if not _is_sound(each)]
    chosen = (broken or list(scored))[:NUM_SAMPLES]
    note = "not finite itself" if broken else "of the batch"
    figures = {"policy_version": float(step), "num_not_finite": float(len(broken))}
    return Verdict(
        guard=NAME,
        reason=f"the learner's step on policy version {step} met NaN or infinity: {error}",
        figures=figures,
        samples=tuple(
            shown(each.rollout, note, **_numbers({"score": each.score.value})) for each in chosen
        ),
    )


def of_fit(error: NotFinite, kind: str, figures: Mapping[str, float]) -> Verdict:
    """Return what there is to say of a reward fit or swap that was broken off."""
    return Verdict(
        guard=NAME,
        reason=f"a reward {kind} met NaN or infinity, the version before it stays live: {error}",
        figures=_numbers(figures),
    )


def of_scores(error: NotFinite, rollouts: Sequence[Rollout]) -> Verdict:
    """Return what there is to say of responses that no number came for."""
    samples: list[Sample] = [shown(each) for each in rollouts[:NUM_SAMPLES]]
    return Verdict(
        guard=NAME,
        reason=f"responses came without a finite score or log-probability: {error}",
        figures={"num_responses": float(len(rollouts))},
        samples=tuple(samples),
    )


def _is_sound(scored: ScoredRollout) -> bool:
    numbers = (scored.score.value, *scored.score.heads, *scored.rollout.behavior_logprobs)
    return all(math.isfinite(number) for number in numbers)


def _numbers(figures: Mapping[str, float]) -> dict[str, float]:
    """Leave out what JSON has no word for."""
    return {name: value for name, value in figures.items() if math.isfinite(value)}
