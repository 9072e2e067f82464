"""Weights: how much each labeler says in a fit, and that nobody says too much.

The likelihood of a fit takes a labeler's reliability a_ℓ; the cap takes labels. Where a labeler
would carry more than their share of the weight Σ n·a, only some of their labels enter, chosen by
digest: the same ones at every fit, on every machine, and more of them as the cap rises.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import compress
from statistics import median

import numpy as np

from label_queue.quality.given import Bools, GivenLabels, LabelT
from label_queue.quality_config import QualityConfig

EQUAL_PARTS = 1.5
"""Equal parts of the weight that one labeler may have, of as many parts as labelers are active."""


def capped(
    labels: Sequence[LabelT], reliability: Mapping[str, float], config: QualityConfig
) -> tuple[LabelT, ...]:
    """Return the labels of a training set that enter a fit, in their order; see `kept_by_cap`."""
    return tuple(compress(labels, kept_by_cap(GivenLabels.of(labels), reliability, config)))


def kept_by_cap(
    labels: GivenLabels, reliability: Mapping[str, float], config: QualityConfig
) -> Bools:
    """Return [n], which labels of a training set enter a fit.

    Once `cap_from_labelers` are active nobody keeps more than `max_weight_share` of the weight, or
    half more than an equal part where that is more: at an equal part all would be cut down to the
    weight of the least. Active is who is not doubted, has `cap_min_labels` in the fit, and at least
    half as many as the median of those who have: if a newcomer's few labels counted, or those of
    somebody who clicks at random, everybody's work would be cut down to theirs.
    """
    kept = np.ones(len(labels.labeler), dtype=np.bool_)
    counts = labels.counts()
    active = _num_active(counts, reliability, config)
    if active < config.cap_from_labelers:
        return kept
    most = _kept_at_most(counts, reliability, _share(active, config))
    for name, count in counts.items():
        if count > most[name]:
            own = labels.by(name)
            digests = labels.label_digest[own]
            kept[own] = np.isin(digests, np.sort(digests)[: most[name]])
    return kept


def shares_of_counts(
    counts: Mapping[str, int], reliability: Mapping[str, float], config: QualityConfig
) -> dict[str, float]:
    """Return each labeler's share of a capped fit's weight, n·a/Σ n·a, sorted by name.

    Args:
        counts: Labels of the training set by labeler; nobody answered a query twice.
        reliability: a_ℓ by labeler; 1 where one is missing.
        config: Of the cap.
    """
    counts = {name: count for name, count in sorted(counts.items()) if count}
    active = _num_active(counts, reliability, config)
    if active >= config.cap_from_labelers:
        kept = _kept_at_most(counts, reliability, _share(active, config))
        counts = {name: min(count, kept[name]) for name, count in counts.items()}
    weights = {name: n * reliability.get(name, 1.0) for name, n in counts.items() if n}
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


def _kept_at_most(
    counts: Mapping[str, int], reliability: Mapping[str, float], share: float
) -> dict[str, int]:
    """Return how many labels each labeler may keep under the cap."""
    weights = {name: n * reliability.get(name, 1.0) for name, n in counts.items()}
    level = _level(sorted(weights.values()), share)
    # The small addition keeps 0.1 + 0.2 from costing a label.
    return {name: math.floor(level / reliability.get(name, 1.0) + 1e-9) for name in counts}


def _share(num_active: int, config: QualityConfig) -> float:
    return max(config.max_weight_share, EQUAL_PARTS / num_active)


def _num_active(
    counts: Mapping[str, int], reliability: Mapping[str, float], config: QualityConfig
) -> int:
    busy = [
        count
        for name, count in counts.items()
        if count >= config.cap_min_labels and reliability.get(name, 1.0) >= config.doubt_below
    ]
    return sum(2 * count >= median(busy) for count in busy)


def _level(weights: Sequence[float], share: float) -> float:
    """Return the largest weight x that one may keep: x = share·Σ min(w, x), or all of w.

    Args:
        weights: Rising.
        share: Of the sum.
    """
    below = sum(weights)
    if weights[-1] <= share * below:
        return weights[-1]
    level = weights[-1]
    for num_above, weight in enumerate(reversed(weights), start=1):
        below -= weight
        if share * num_above >= 1.0:
            return level
        level = share * below / (1.0 - share * num_above)
        if num_above == len(weights) or level >= weights[-num_above - 1]:
            return level
    return level
