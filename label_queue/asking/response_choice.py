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
from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Heads = NDArray[np.float64]
Choice = tuple[tuple[int, ...], float]
"""Places of the K responses, rising, and the probability of that set, in (0, 1]."""
Rule = Callable[[Heads, int, random.Random], Choice]
"""Chooses K of the R responses of `heads` [R, M]."""


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
    return tuple(sorted(chosen)), _probability_of_set(weights, tuple(chosen))


def thompson_variance(heads: Heads, count: int, rng: random.Random) -> Choice:
    """Return the best of a particle, and those whose differences to it are known least."""
    weights = shares_of_best(heads)
    first = rng.choices(range(len(weights)), weights)[0]
    chosen = _least_known(heads, first, count)
    probability = sum(
        weights[each] for each in chosen if _least_known(heads, each, count) == chosen
    )
    return chosen, float(probability)


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


def shares_of_best(heads: Heads) -> list[Fraction]:
    """Return the share of particles whose best each response is, [R]; equals share a particle."""
    is_best = heads == heads.max(axis=0)
    num_best = is_best.sum(axis=0)
    shares = [Fraction(0)] * len(heads)
    for number in np.unique(num_best).tolist():
        counts = is_best[:, num_best == number].sum(axis=1).tolist()
        shares = [
            share + Fraction(count, number * heads.shape[1])
            for share, count in zip(shares, counts, strict=True)
        ]
    return shares


def _left(weights: Sequence[Fraction], chosen: Sequence[int]) -> list[Fraction]:
    """Return the weights of the next draw, 0 for what is chosen."""
    left = [Fraction(0) if place in chosen else weight for place, weight in enumerate(weights)]
    if any(left):
        return left
    return [Fraction(place not in chosen) for place in range(len(weights))]


def _probability_of_set(weights: Sequence[Fraction], places: Sequence[int]) -> float:
    """Return the probability that draws without replacement give a set, in whatever order.

    Were each response a clock that rings at its weight as rate, the set would be those that ring
    first: with W the weight of all others, Σ over subsets A of it of (−1)^|A|·W/(W + w(A)). Subsets
    of equal weight are counted together, since there may be millions and their weights are shares
    of few particles; and exactly, since their signs alternate.
    """
    inside = [weights[place] for place in places]
    others = sum(weights) - sum(inside)
    if not others:  # it holds all that is anybody's best, and of the rest any
        return 1.0 / math.comb(weights.count(Fraction(0)), inside.count(Fraction(0)))
    signed = Counter({Fraction(0): 1})
    for weight in inside:
        for total, count in list(signed.items()):
            signed[total + weight] -= count
    return float(sum(count * others / (others + total) for total, count in signed.items()))


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
