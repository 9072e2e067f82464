"""How a simulated labeler chooses: a noisy, biased reading of the candidates' utilities.

The model is B-Pref's stochastic preference (Lee et al. 2021, "B-Pref: Benchmarking
Preference-Based Reinforcement Learning"), carried from pairs to K candidates: a Plackett–Luce
ranking with rationality beta, and on it skips, ties, slips, position bias, drift and malice.
Utilities are gold scores under the labeler's gamma, in the order shown.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from label_queue.simulated.config import LabelerProfile
from protocol.labels import QueryKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a labeler says of K candidates."""

    outcome: Literal["choice", "ranking", "tie", "skip"]
    order: tuple[int, ...]
    """Indices in the order shown: the one chosen, or all, best first; empty for tie and skip."""


def logits(utilities: Sequence[float], profile: LabelerProfile, num_given: int) -> list[float]:
    """Return [K] choice logits: ±beta·exp(−drift·n)·u, plus the bias at the first position.

    Args:
        utilities: [K], in the order shown.
        profile: Whose choice it is.
        num_given: n, labels this labeler gave before.
    """
    is_honest = not profile.has_turned(num_given) or profile.is_on_guard(utilities)
    beta = profile.beta if is_honest else -profile.beta
    rationality = beta * math.exp(-profile.drift * num_given)
    return [
        rationality * utility + (profile.position_bias if position == 0 else 0.0)
        for position, utility in enumerate(utilities)
    ]


def choice_probabilities(
    utilities: Sequence[float], profile: LabelerProfile, num_given: int = 0
) -> list[float]:
    """Return [K], how likely each candidate is named best, given that one is named.

    softmax of the logits, of which a slip moves eps_mistake evenly to the other candidates.
    """
    scaled = logits(utilities, profile, num_given)
    top = max(scaled)
    weights = [math.exp(logit - top) for logit in scaled]
    total = sum(weights)
    slip = profile.eps_mistake
    return [
        (1 - slip) * weight / total + slip * (1 - weight / total) / (len(weights) - 1)
        for weight in weights
    ]


def _noisy_order(scaled: Sequence[float], rng: random.Random) -> list[int]:
    """Draw a Plackett–Luce ranking: sort by logit plus Gumbel noise."""
    noisy = [logit - math.log(rng.expovariate(1.0)) for logit in scaled]
    return sorted(range(len(noisy)), key=noisy.__getitem__, reverse=True)


def decide(
    utilities: Sequence[float],
    kind: QueryKind,
    profile: LabelerProfile,
    num_given: int,
    rng: random.Random,
) -> Verdict:
    """Answer one task.

    Args:
        utilities: [K ≥ 2], in the order shown.
        kind: "ranking" asks for the whole order, the others for the best.
        profile: Who answers.
        num_given: Labels this labeler gave before.
        rng: Moves by the same draws whatever the profile, up to the answer.
    """
    skips = rng.random() < profile.eps_skip
    slips = rng.random() < profile.eps_mistake
    order = _noisy_order(logits(utilities, profile, num_given), rng)
    if skips:
        return Verdict(outcome="skip", order=())
    if max(utilities) - min(utilities) < profile.eps_equal:
        return Verdict(outcome="tie", order=())
    if kind == "ranking":
        return Verdict(outcome="ranking", order=tuple(reversed(order) if slips else order))
    return Verdict(outcome="choice", order=(rng.choice(order[1:]) if slips else order[0],))


def seconds_spent(profile: LabelerProfile, rng: random.Random) -> float:
    """Draw how long one task takes: uniform within half of the mean on both sides."""
    return profile.seconds_per_label * rng.uniform(0.5, 1.5)
