"""Which K of the R responses to one prompt people compare, and how likely that choice was.

R responses, K to choose, M particles: the heads of the reward, each a reward that the labels so far
allow. Their scores are `heads` [R, M].

    double_thompson       each of K distinct responses is the best of a particle drawn at random
                          (Dwaracherla et al. 2024)
    thompson_variance     the first is, and each that follows is the one whose difference to those
                          chosen the particles know least (the sampler of oat; Liu et al. 2024):
                          by the variance of the logits, as there, which is no doubt of the choice
                          where all of them are sure (docs/fewer_labels.md)
    information_directed  the pair whose preference varies most over the particles, of all pairs
                          (Asghari et al. 2026); for K above 2 it grows by the one that adds most
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Heads = NDArray[np.float64]
Choice = tuple[tuple[int, ...], float]
"""Places of the K responses, rising, and the probability of that set, in (0, 1]."""
Rule = Callable[[Heads, int, random.Random], Choice]
"""Chooses K of the R responses of `heads` [R, M]."""

_LOG_STEP = 0.05
_TIMES = np.exp(np.arange(-40.0, 7.0, _LOG_STEP))
"""Before and after these nothing is left that a float would show."""


def uniform(num_responses: int, count: int, rng: random.Random) -> Choice:
    """Return any K, each set alike."""
    places = tuple(sorted(rng.sample(range(num_responses), count)))
    return places, 1.0 / math.comb(num_responses, count)


def double_thompson(heads: Heads, count: int, rng: random.Random) -> Choice:
    """Return the bests of particles drawn until K of them differ.

    Where fewer than K responses are anybody's best, the rest is drawn from the others alike.
    """
    weights = shares_of_best(heads)
    chosen: list[int] = []
    for _ in range(count):
        left = _left(weights, chosen)
        chosen.append(rng.choices(range(len(left)), left)[0])
    return tuple(sorted(chosen)), _probability_of_set(weights, chosen)


def thompson_variance(heads: Heads, count: int, rng: random.Random) -> Choice:
    """Return the best of a particle, and those whose differences to it are known least."""
    weights = shares_of_best(heads)
    first = rng.choices(range(len(weights)), weights)[0]
    chosen = _least_known(heads, first, count)
    probability = sum(
        weights[each] for each in chosen if _least_known(heads, each, count) == chosen
    )
    return chosen, probability


def information_directed(heads: Heads, count: int, rng: random.Random) -> Choice:
    """Return those whose predicted preference varies most over the particles; nothing is drawn."""
    pairs = list(combinations(range(len(heads)), 2))
    first, second = np.array(pairs).T
    spread = _logistic(heads[first] - heads[second]).var(axis=1)
    chosen = list(pairs[int(spread.argmax())])
    while len(chosen) < count:
        others = [each for each in range(len(heads)) if each not in chosen]
        gains = [preference_variance(heads[[*chosen, each]]) for each in others]
        chosen.append(others[int(np.argmax(gains))])
    return tuple(sorted(chosen)), 1.0


RULES: dict[str, Rule] = {
    rule.__name__: rule for rule in (double_thompson, thompson_variance, information_directed)
}
"""By the name that a config gives them."""


def preference_variance(heads: Heads) -> float:
    """Return the variance over particles of the predicted preference, averaged over responses.

    The preference is softmax(r)[k] over the K responses; for pairs this is Christiano et al.'s
    σ(r₁ − r₂).

    Args:
        heads: [K, M].
    """
    powers = np.exp(heads - heads.max(axis=0))
    return float((powers / powers.sum(axis=0)).var(axis=1).mean())


def shares_of_best(heads: Heads) -> list[float]:
    """Return the share of particles whose best each response is, [R]; equals share a particle."""
    is_best = heads == heads.max(axis=0)
    return [float(share) for share in (is_best / is_best.sum(axis=0)).mean(axis=1)]


def _left(weights: Sequence[float], chosen: Sequence[int]) -> list[float]:
    """Return the weights of the next draw, 0 for what is chosen."""
    left = [0.0 if place in chosen else weight for place, weight in enumerate(weights)]
    if sum(left) > 0:
        return left
    return [0.0 if place in chosen else 1.0 for place in range(len(weights))]


def _probability_of_set(weights: Sequence[float], places: Sequence[int]) -> float:
    """Return the probability that draws without replacement give a set, in whatever order.

    Draws by weight come in the order in which clocks strike whose rates are the weights. The set is
    first where each of its own has struck before any of the others does, whose rates sum to W:
    ∫ exp(−t)·Π (1 − exp(−t·w/W)) dt from 0 on, with w of the set. Summed up order by order, that
    would be 2^K terms of a set of K.
    """
    num_weighted = sum(weight > 0 for weight in weights)
    if num_weighted <= len(places):  # then all of these are in it, and the rest is drawn alike
        left = len(weights) - num_weighted
        return 1.0 / math.comb(left, len(places) - num_weighted)
    others = sum(weight for place, weight in enumerate(weights) if place not in places)
    rates = np.array([weights[place] for place in places]) / others
    have_struck = -np.expm1(-np.outer(_TIMES, rates))
    # Of even steps in log t, where all is smooth: the sum is the integral but for rounding.
    return float((_TIMES * np.exp(-_TIMES) * have_struck.prod(axis=1)).sum() * _LOG_STEP)


def _least_known(heads: Heads, first: int, count: int) -> tuple[int, ...]:
    chosen = [first]
    while len(chosen) < count:
        differences = heads[:, None, :] - heads[chosen][None]
        variances = differences.var(axis=2).mean(axis=1)
        variances[chosen] = -1.0
        chosen.append(int(variances.argmax()))
    return tuple(sorted(chosen))


def _logistic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 0.5 * (1.0 + np.tanh(0.5 * x))
