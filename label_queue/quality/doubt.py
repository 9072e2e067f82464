"""Doubt: whether somebody's newest answers look like chance. It asks them more gold, and no more.

One cumulative sum (Page 1954) of what their answers are worth as evidence, in the order in which
they came: log P(answer | chance) − log P(answer | somebody as people are), nats, never below 0.
Three kinds of answers say something:

- gold, which chance answers rightly once in K times;
- repeats, which chance answers as before once in K times;
- all others, by what the other labelers prefer, as of the last fit: `of_answers`.

Gold answered rightly pays off what the others' taste has to say, so that a taste of one's own costs
its labeler some tasks and never their say: only gold suspends, at the threshold that it had.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TypeAlias

import numpy as np

from label_queue.quality.drift import cusum
from label_queue.quality.given import Bools, GivenLabels
from label_queue.quality.self_agreement import agreement
from label_queue.quality.small_reward import Floats

Evidence: TypeAlias = tuple[int, float]
"""An answer's sequence number, and what it is worth, nats; positive speaks for chance."""

NUM_NEWEST, NUM_REPEATS = 64, 8
"""Newest answers and repeats of a labeler that are looked at: earlier ones say nothing of now."""
USUAL = 0.85
"""How often people name the truth, all else being chance: the mean of a reliability's prior."""
USUAL_ALIKE = 0.9
"""How often people who answer again name what is best for them; see `self_agreement`."""


def doubt(evidence: Iterable[Evidence]) -> float:
    """Return what speaks for chance by now, nats, at least 0; evidence in whatever order."""
    level = 0.0
    for _, nats in sorted(evidence):
        level = cusum(level, nats)
    return level


def of_gold(k: int, usual: float, *, is_right: bool) -> float:
    """Return what an answer to gold is worth, nats.

    Args:
        k: Candidates of a gold task.
        usual: How often a good labeler answers rightly.
        is_right: Whether this one does.
    """
    return _log_ratio(1 / k, usual, is_right)


def of_repeat(k: int, *, is_alike: bool) -> float:
    """Return what an answer to a repeat is worth, nats.

    Args:
        k: Candidates of a repeat.
        is_alike: Whether it was answered as before.
    """
    return _log_ratio(1 / k, agreement(USUAL_ALIKE, k), is_alike)


def _log_ratio(chance: float, usual: float, is_hit: bool) -> float:
    """Return log of how likely it is by chance, over how likely as people are, nats."""
    return math.log(chance / usual if is_hit else (1 - chance) / (1 - usual))


def of_answers(truth: Floats, chance: Floats) -> Floats:
    """Return what answers are worth by what the others prefer, [n], nats.

    Args:
        truth: [n], how likely each answer is the truth by that.
        chance: [n], 1/K.
    """
    return -np.log(USUAL * truth / chance + 1.0 - USUAL)


def newest(labels: GivenLabels) -> Bools:
    """Return [n], which labels are among the newest of their labelers.

    Args:
        labels: In the order in which they came.
    """
    found = np.zeros(len(labels.labeler), dtype=np.bool_)
    for name in labels.counts():
        found[labels.by(name)[-NUM_NEWEST:]] = True
    return found


def on_newest_queries(labels: GivenLabels) -> Bools:
    """Return [n], which labels are on queries that are among the newest of some labeler's.

    What others say of the same queries is what those answers are held against.
    """
    digests = labels.query_digest
    found: Bools = np.isin(digests, digests[newest(labels)])
    return found
