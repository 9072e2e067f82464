"""What a guard says, with what it saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from protocol.chat import in_one_text
from protocol.messages import Rollout, ScoredRollout

NUM_SAMPLES = 8
"""Texts kept with a verdict: enough for a person to see what is wrong, and small on disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A text that made a guard trip, or that shows what the policy writes then."""

    prompt: str
    response: str
    figures: Mapping[str, float] = field(default_factory=dict)
    """E.g. {"score": 1.2, "score_before": -0.8}."""
    note: str = ""
    """E.g. "the worse of the pair"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """That a guard tripped: why, in words and in figures."""

    guard: str
    """Its name, as in the config's section `guards`."""
    reason: str
    """For people; one line."""
    figures: Mapping[str, float]
    """What it measured, and the threshold; those that are no numbers are left out."""
    samples: tuple[Sample, ...] = ()


def shown(rollout: Rollout, note: str = "", **figures: float) -> Sample:
    """Return a rollout as a sample."""
    prompt = in_one_text(rollout.prompt.text, rollout.prompt.messages)
    return Sample(prompt=prompt, response=rollout.text, figures=figures, note=note)


def some_of(scored: Sequence[ScoredRollout]) -> tuple[Sample, ...]:
    """Return a few responses of a batch: those of the highest scores, which the policy learns."""
    best = sorted(scored, key=lambda each: each.score.value, reverse=True)[:NUM_SAMPLES]
    return tuple(shown(each.rollout, score=each.score.value) for each in best)
