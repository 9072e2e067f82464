"""A small reward model of its own for judging labelers: hashed n-grams and a choice model.

It reads nothing but comparisons, so it is a pure function of the ledger, and it is fitted in
milliseconds. It serves nobody: the policy is trained on the reward trainer's.

Shapes: R rows, one a candidate of a choice; C choices; D features in use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_array

from protocol.labels import Comparison

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]

NUM_BUCKETS = 1 << 14
"""Hash buckets of unigrams and bigrams together."""
_UNIGRAM, _BIGRAM, _SPREAD = (np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 31))
_SHIFT = np.uint64(64 - 14)
MAX_STEPS = 60
"""Steps of L-BFGS, at most; on all that was tried its gradient was below 1e-3 before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """Choices among candidates, flat. A ranking is one choice a place (Plackett 1975)."""

    features: csr_array[np.float64]
    """[R, D], less the mean over the choice's candidates."""
    starts: Ints
    """[C], each choice's first row."""
    sizes: Ints
    """[C], K of each choice."""
    chosen: Ints
    """[C], the row chosen."""
    comparison: Ints
    """[C], which comparison each choice is of."""

    def take(self, wanted: NDArray[np.bool_]) -> Choices:
        """Return some of the choices, features kept as they are.

        Args:
            wanted: [C].
        """
        sizes = self.sizes[wanted]
        starts = np.cumsum(sizes) - sizes
        return Choices(
            features=csr_array(self.features[np.repeat(wanted, self.sizes)]),
            starts=starts,
            sizes=sizes,
            chosen=starts,
            comparison=self.comparison[wanted],
        )

    def probabilities(self, rewards: Floats) -> Floats:
        """Return softmax over each choice's candidates, [R] of [R]."""
        top = np.maximum.reduceat(rewards, self.starts)
        weights: Floats = np.exp(rewards - np.repeat(top, self.sizes))
        weights /= np.repeat(np.add.reduceat(weights, self.starts), self.sizes)
        return weights

    def rewards(self, theta: Floats) -> Floats:
        """Return Xθ, [R] of [D]."""
        return np.asarray(self.features @ theta, dtype=np.float64)


def as_choices(comparisons: Sequence[Comparison]) -> Choices | None:
    """Return the choices in some comparisons, or None if there are none: ties state none."""
    sets = [
        (number, remaining)
        for number, comparison in enumerate(comparisons)
        for remaining in _stages(comparison)
    ]
    if not sets:
        return None
    sizes = np.array([len(remaining) for _, remaining in sets])
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    rows = [comparisons[number].candidate_token_ids[i] for number, those in sets for i in those]
    return Choices(
        features=_features(rows, starts, sizes),
        starts=starts,
        sizes=sizes,
        chosen=starts,  # the one chosen stands first in its set
        comparison=np.array([number for number, _ in sets]),
    )


def _stages(comparison: Comparison) -> list[tuple[int, ...]]:
    """Return the sets of candidates chosen from, the one chosen first in each."""
    if comparison.outcome == "choice":
        assert comparison.choice is not None
        others = set(range(len(comparison.candidate_token_ids))) - {comparison.choice}
        return [(comparison.choice, *sorted(others))]
    if comparison.outcome == "ranking":
        assert comparison.ranking is not None
        return [comparison.ranking[place:] for place in range(len(comparison.ranking) - 1)]
    return []


def _features(rows: Sequence[tuple[int, ...]], starts: Ints, sizes: Ints) -> csr_array[np.float64]:
    """Return [R, D] n-gram counts over √T, centred within each choice.

    What all candidates of a choice share says nothing of which is best, and is left out.
    """
    lengths = np.array([len(row) for row in rows])
    tokens = np.fromiter((t for row in rows for t in row), dtype=np.uint64, count=lengths.sum())
    owner = np.repeat(np.arange(len(rows)), lengths)
    with np.errstate(over="ignore"):  # the hash is meant to wrap around
        unigrams = (tokens + np.uint64(1)) * _UNIGRAM
        bigrams = (unigrams[:-1] * _SPREAD + unigrams[1:]) * _BIGRAM
    within = owner[:-1] == owner[1:]
    bucket = np.concatenate([unigrams, bigrams[within]]) >> _SHIFT
    row = np.concatenate([owner, owner[:-1][within]])
    used, column = np.unique(bucket, return_inverse=True)
    values = 1.0 / np.sqrt(lengths[row])
    counts = csr_array((values, (row, column)), shape=(len(rows), len(used)))
    choice = np.repeat(np.arange(len(sizes)), sizes)
    averaging = csr_array(
        (np.repeat(1.0 / sizes, sizes), (choice, np.arange(len(rows)))),
        shape=(len(sizes), len(rows)),
    )
    return csr_array(counts - (averaging @ counts)[choice])


def fit_reward(
    choices: Choices, weights: Floats, reliability: Floats, *, penalty: float, start: Floats
) -> Floats:
    """Return θ that maximises Σ w·log(a·p + (1 − a)/K) − penalty/2·|θ|², [D].

    p is softmax(Xθ) at the one chosen: the reward trainer's own likelihood, with a linear reward.
    Deterministic.

    Args:
        choices: All choices.
        weights: [C]; 0 leaves a choice out.
        reliability: [C], a of who chose.
        penalty: Of L2.
        start: [D], where L-BFGS begins.
    """
    if not len(start):
        return start  # no candidate has tokens
    transposed = choices.features.T.tocsr()
    noise = (1.0 - reliability) / choices.sizes

    def objective(theta: Floats) -> tuple[float, Floats]:
        p = choices.probabilities(choices.rewards(theta))
        hit = reliability * p[choices.chosen]
        pull = weights * hit / (hit + noise)
        slope = -np.repeat(pull, choices.sizes) * p
        slope[choices.chosen] += pull
        loss = -(weights * np.log(hit + noise)).sum() + 0.5 * penalty * (theta @ theta)
        return float(loss), penalty * theta - transposed @ slope

    found = minimize(
        objective, start, jac=True, method="L-BFGS-B", options={"maxiter": MAX_STEPS, "gtol": 1e-3}
    )
    return np.asarray(found.x, dtype=np.float64)
