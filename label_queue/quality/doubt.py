"""Doubt: whether somebody's newest answers look like chance. It asks them more gold, and no more.

Cumulative sums (Page 1954) of what an answer is worth as evidence, log P(answer | chance) −
log P(answer | somebody as people are), nats, each as far as it has come above 0, added up:

- of gold answers, the sum by which drift is found (`standing`), long before it is found;
- of repeats, which chance answers alike once in K times;
- of the newest other answers, by what the others prefer: `unexplained`, as of the last fit.

A wrong gold answer that no right ones have made good is enough by itself: it costs a good labeler
little, for the next one clears them. Gold decides, at the threshold and the run length that it had:
whoever labels well and is doubted is asked what they know. So a taste of one's own costs a few
labels, and never a suspension.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from label_queue.quality.drift import cusum
from label_queue.quality.given import Bools, GivenLabels
from label_queue.quality.small_reward import Floats

NUM_NEWEST, NUM_REPEATS = 64, 8
"""Newest answers and repeats of a labeler that are looked at: earlier ones say nothing of now."""
USUAL = 0.85
"""How often people name the truth, all else being chance: the mean of a reliability's prior."""
USUAL_ALIKE = 0.9
"""How often people who answer again name what is best for them; see `self_agreement`."""


def newest(labels: GivenLabels) -> Bools:
    """Return [n], which labels are among the newest of their labelers.

    Args:
        labels: In the order in which they came.
    """
    found = np.zeros(len(labels.labeler), dtype=np.bool_)
    for name in labels.counts():
        found[labels.by(name)[-NUM_NEWEST:]] = True
    return found


def unexplained(truth: Floats, chance: Floats) -> float:
    """Return what speaks for chance in somebody's answers, nats, at least 0.

    Args:
        truth: [n], how likely each answer is the truth by what the others prefer, oldest first.
        chance: [n], 1/K.
    """
    level = 0.0
    for each in -np.log(USUAL * truth / chance + 1.0 - USUAL):
        level = cusum(level, float(each))
    return level


def of_repeats(alike: Iterable[bool], k: float) -> float:
    """Return what speaks for chance in somebody's repeats, nats, at least 0.

    Args:
        alike: Whether each was answered as before, oldest first.
        k: Candidates of a repeat.
    """
    level = 0.0
    for each in alike:
        usual = USUAL_ALIKE**2 + (1 - USUAL_ALIKE) ** 2 / (k - 1)
        by_chance, expected = (1 / k, usual) if each else (1 - 1 / k, 1 - usual)
        level = cusum(level, math.log(by_chance / expected))
    return level
