"""Which drafts become queries."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, pvariance
from typing import Protocol

from label_queue.config import LabelsConfig
from protocol.errors import InputError
from protocol.labels import QueryDraft
from protocol.messages import Rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A draft that was chosen, and how likely that was."""

    draft: QueryDraft
    probability: float
    """Probability with which the selector chose the draft from its pool, in (0, 1]; what people
    cannot be asked was in no pool."""
    reference: tuple[Rollout, ...] = ()
    """Responses of ρ to compare the draft with, for validation."""


class QuerySelector(Protocol):
    """Chooses queries from a pool of drafts."""

    name: str
    pool_factor: int
    """Drafts that the selector wants for each query."""

    def select(
        self, drafts: Sequence[QueryDraft], count: int, rng: random.Random
    ) -> list[Selection]:
        """Return at most `count` of the drafts, each with the probability of its choice."""
        ...


class Uniform:
    """Every draft alike: the required baseline (Ziegler et al. 2019)."""

    name = "uniform"
    pool_factor = 1

    def select(
        self, drafts: Sequence[QueryDraft], count: int, rng: random.Random
    ) -> list[Selection]:
        """Return a uniform sample without replacement."""
        count = min(count, len(drafts))
        return [
            Selection(draft=draft, probability=count / len(drafts))
            for draft in rng.sample(list(drafts), count)
        ]


class Disagreement:
    """The drafts on which the reward's heads disagree most (Christiano et al. 2017, §2.2.4)."""

    name = "disagreement"

    def __init__(self, pool_factor: int) -> None:
        self.pool_factor = pool_factor

    def select(
        self, drafts: Sequence[QueryDraft], count: int, rng: random.Random
    ) -> list[Selection]:
        """Return the highest; ties, as before the first fit, are broken at random.

        Given its pool the choice is certain, so the probability is 1, except among drafts that
        have no heads at all, which are drawn uniformly.
        """
        shuffled = rng.sample(list(drafts), len(drafts))
        if not any(draft.heads for draft in shuffled):
            return Uniform().select(shuffled, count, rng)
        ranked = sorted(shuffled, key=preference_variance, reverse=True)
        return [Selection(draft=draft, probability=1.0) for draft in ranked[:count]]


def preference_variance(draft: QueryDraft) -> float:
    """Return the variance over heads of the predicted preference, averaged over candidates.

    The preference is softmax(r)[k] over the K candidates; for pairs this is Christiano et al.'s
    σ(r₁ − r₂). Raises InputError when the draft carries no [K][M] head scores.
    """
    if len(draft.heads) != len(draft.rollouts):
        raise InputError(
            "selector 'disagreement' needs the head scores of every candidate: "
            "score the drafts, or use selector = 'uniform'"
        )
    by_head = [_softmax(scores) for scores in zip(*draft.heads, strict=True)]
    return fmean(pvariance(shares) for shares in zip(*by_head, strict=True))


def _softmax(scores: Sequence[float]) -> list[float]:
    top = max(scores)
    powers = [math.exp(score - top) for score in scores]
    return [power / sum(powers) for power in powers]


def make_selector(config: LabelsConfig) -> QuerySelector:
    """Return the selector that the config names."""
    return Uniform() if config.selector == "uniform" else Disagreement(config.selector_pool)
