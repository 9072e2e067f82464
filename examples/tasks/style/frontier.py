"""The best that any policy can have of a gold score at each KL: ρ reweighted by e^{r/β}.

Of all policies with a KL to ρ, the one of the highest mean reward is π(y|x) ∝ ρ(y|x)·e^{r(x,y)/β}
(Ziegler et al. 2019, §3.1.1). From M responses of ρ to each prompt its mean reward and its KL are
read by weighing them, for each β. That is right as long as many responses share the weight; where
fewer than `LEAST_EFFECTIVE` do, the curve ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.label_efficiency.sampling import Sampler
from benchmarks.label_efficiency.world import World

NUM_PROMPTS = 32
NUM_RESPONSES = 8_192
"""M, of each prompt; the KL that can be seen is below log M."""
RESPONSES_A_DRAW = 1_024
LEAST_EFFECTIVE = 8.0
"""Responses of a prompt that share the weight, 1/Σw², on average over prompts."""
NUM_POINTS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The reweighted ρ at one β."""

    beta: float
    kl: float
    """Nats a response, mean over prompts."""
    gold: float
    """Mean gold score."""


def reweighted(golds: NDArray[np.float64], beta: float) -> tuple[Point, float]:
    """Return a point of the frontier, and how many responses share the weight of a prompt at least.

    Args:
        golds: [P, M], of responses of ρ.
        beta: Above 0.
    """
    tilted = golds / beta
    weights = np.exp(tilted - tilted.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    # Σ w·log(w/(1/M)); what has no weight adds nothing.
    logs = np.log(np.maximum(weights, np.finfo(float).tiny) * golds.shape[1])
    point = Point(
        beta=beta,
        kl=float((weights * logs).sum(axis=1).mean()),
        gold=float((weights * golds).sum(axis=1).mean()),
    )
    return point, float((1 / (weights**2).sum(axis=1)).min())


def frontier(golds: NDArray[np.float64]) -> list[Point]:
    """Return points of falling β, from near ρ to where too few responses carry a prompt's weight.

    A prompt whose golds differ most runs out of responses first; with its best one alone the mean
    would lie below what is possible.

    Args:
        golds: [P, M], of responses of ρ.
    """
    scale = float(golds.std()) or 1.0
    points = []
    for beta in scale * np.geomspace(30.0, 0.02, NUM_POINTS):
        point, effective = reweighted(golds, float(beta))
        if effective < LEAST_EFFECTIVE:
            break
        points.append(point)
    return points


def gold_at(points: Sequence[Point], kl: float) -> float | None:
    """Return the frontier's gold at a KL, between its points; None beyond its end."""
    if not points or kl > points[-1].kl:
        return None
    return float(np.interp(kl, [each.kl for each in points], [each.gold for each in points]))


def reference_golds(
    world: World, seed: int, num_prompts: int = NUM_PROMPTS, num_responses: int = NUM_RESPONSES
) -> NDArray[np.float64]:
    """Return [P, M] gold scores of responses that ρ draws."""
    sampler = Sampler(world.policy, world.tokenizer, seed)
    rows = []
    for prompt in world.prompts[:num_prompts]:
        row: list[float] = []
        while len(row) < num_responses:
            count = min(RESPONSES_A_DRAW, num_responses - len(row))
            drawn = sampler.draw([prompt] * count)
            row += [world.gold(prompt.text, each.text) for each in drawn]
        rows.append(row)
    return np.array(rows)
