"""A small reward model of its own for judging labelers: hashed n-grams and a choice model.

It reads nothing but comparisons, so it is a pure function of the ledger, and it is fitted in
milliseconds. It serves nobody: the policy is trained on the reward trainer's.

Shapes: R rows, one a candidate of a choice; C choices; D features, one a bucket.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_array

from protocol.fits import Comparison

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]

NUM_BUCKETS = 1 << 14
"""Hash buckets of unigrams and bigrams together."""
_UNIGRAM, _BIGRAM, _SPREAD = (np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 31))
_SHIFT = np.uint64(64 - 14)
TEXTS_AT_ONCE = 4_096
MAX_STEPS = 60
"""Steps of L-BFGS, at most; on all that was tried its gradient was below 1e-3 before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """Texts as the hash buckets of their n-grams, end to end: two bytes for each."""

    buckets: NDArray[np.uint16]
    """[N], those of each text's unigrams and then of its bigrams."""
    ends: Ints
    """[R], where in `buckets` each text ends."""
    scales: Floats
    """[R], 1/√T; 0 of a text without tokens."""

    def take(self, wanted: NDArray[np.bool_]) -> Texts:
        """Return some of the texts.

        Args:
            wanted: [R].
        """
        sizes = np.diff(self.ends, prepend=0)
        return Texts(
            buckets=self.buckets[np.repeat(wanted, sizes)],
            ends=np.cumsum(sizes[wanted]),
            scales=self.scales[wanted],
        )

    def rewards(self, theta: Floats) -> Floats:
        """Return Xθ, [R] of [D], a stretch of texts at a time: X itself is never made."""
        found = np.zeros(len(self.ends))
        starts = self.ends - np.diff(self.ends, prepend=0)
        for first in range(0, len(found), TEXTS_AT_ONCE):
            some = slice(first, first + TEXTS_AT_ONCE)
            begin, end = starts[some][0], self.ends[some][-1]
            # A sum up to the next start is none where a text is empty.
            full = np.flatnonzero(starts[some] < self.ends[some])
            if len(full):
                values = theta[self.buckets[begin:end]]
                found[first + full] = np.add.reduceat(values, starts[some][full] - begin)
        return found * self.scales

    def matrix(self) -> csr_array[np.float64]:
        """Return X, [R, D]: n-gram counts over √T."""
        sizes = np.diff(self.ends, prepend=0)
        values = np.repeat(self.scales, sizes)
        pointers = np.concatenate([[0], self.ends])
        return csr_array((values, self.buckets, pointers), shape=(len(sizes), NUM_BUCKETS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """Choices among candidates, flat. A ranking is one choice a place (Plackett 1975).

    What all candidates of a choice share adds the same to the reward of each, and so nothing to the
    chance that one is chosen.
    """

    texts: Texts
    """[R], a candidate of a choice each."""
    starts: Ints
    """[C], each choice's first row."""
    sizes: Ints
    """[C], K of each choice."""
    chosen: Ints
    """[C], the row chosen."""
    comparison: Ints
    """[C], which comparison each choice is of."""

    def take(self, wanted: NDArray[np.bool_]) -> Choices:
        """Return some of the choices.

        Args:
            wanted: [C].
        """
        sizes = self.sizes[wanted]
        starts = np.cumsum(sizes) - sizes
        return Choices(
            texts=self.texts.take(np.repeat(wanted, self.sizes)),
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
        texts=as_texts(rows),
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


def as_texts(rows: Sequence[tuple[int, ...]]) -> Texts:
    """Return texts, given as token ids, as the buckets of their unigrams and bigrams."""
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    sizes = lengths + np.maximum(lengths - 1, 0)
    return Texts(
        buckets=np.concatenate([_buckets(row) for row in rows]),
        ends=np.cumsum(sizes),
        scales=np.divide(1.0, np.sqrt(lengths), out=np.zeros(len(rows)), where=lengths > 0),
    )


def _buckets(row: tuple[int, ...]) -> NDArray[np.uint16]:
    tokens = np.array(row, dtype=np.uint64)
    with np.errstate(over="ignore"):  # the hash is meant to wrap around
        unigrams = (tokens + np.uint64(1)) * _UNIGRAM
        bigrams = (unigrams[:-1] * _SPREAD + unigrams[1:]) * _BIGRAM
    buckets: NDArray[np.uint16] = (np.concatenate([unigrams, bigrams]) >> _SHIFT).astype(np.uint16)
    return buckets


def fit_reward(
    choices: Choices,
    features: csr_array[np.float64],
    weights: Floats,
    reliability: Floats,
    *,
    penalty: float,
    start: Floats,
) -> Floats:
    """Return θ that maximises Σ w·log(a·p + (1 − a)/K) − penalty/2·|θ|², [D].

    p is softmax(Xθ) at the one chosen: the reward trainer's own likelihood, with a linear reward.
    θ is 0 in every bucket that no text has, so only the others are searched. Deterministic.

    Args:
        choices: All choices.
        features: [R, D], X of their texts.
        weights: [C]; 0 leaves a choice out.
        reliability: [C], a of who chose.
        penalty: Of L2.
        start: [D], where L-BFGS begins, in the buckets that texts have.
    """
    used = np.unique(features.indices)
    features = features[:, used]
    transposed = features.T.tocsr()
    noise = (1.0 - reliability) / choices.sizes

    def objective(theta: Floats) -> tuple[float, Floats]:
        p = choices.probabilities(np.asarray(features @ theta))
        hit = reliability * p[choices.chosen]
        pull = weights * hit / (hit + noise)
        slope = -np.repeat(pull, choices.sizes) * p
        slope[choices.chosen] += pull
        loss = -(weights * np.log(hit + noise)).sum() + 0.5 * penalty * (theta @ theta)
        return float(loss), penalty * theta - transposed @ slope

    found = minimize(
        objective,
        start[used],
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": MAX_STEPS, "gtol": 1e-3},
    )
    theta = np.zeros_like(start)
    theta[used] = found.x
    return theta
