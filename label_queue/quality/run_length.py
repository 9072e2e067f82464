"""How long the gold tests go on, and how they end: exact, by recursion over the answers.

Every gold answer moves a sum by one of two steps, down by log(p₁/p₀) where it is right and up by
log((1 − p₀)/(1 − p₁)) where it is wrong. After n answers the sum is told by how many were wrong, so
that the few sums between two bounds can be followed answer by answer, with no grid and no
simulation. The sequential test is one such walk between its bounds. The cumulative sum is a chain
of them between 0 and h, each begun anew at 0 until one ends at h, so that by Wald's identity its
mean run length is E[answers of a walk] / P(the walk ends at h) (Page 1954, "Continuous Inspection
Schemes").
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from label_queue.quality_config import QualityConfig

Probabilities = NDArray[np.float64]

LEFT_OUT = 1e-14
"""Share of what ended at the top below which what is left of a walk is not followed any more."""
EQUAL = 1e-9
"""Distance from a bound, in nats, within which a sum is on it."""
THRESHOLD_STEP = 0.01
"""Step of the thresholds, in nats: they are whole multiples of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What gold answers are worth, nats; both are positive."""

    down: float
    """Nats by which a right answer lowers the sum."""
    up: float
    """Nats by which a wrong answer raises the sum."""

    @classmethod
    def of(cls, config: QualityConfig, k: int, usual: float | None = None) -> Steps:
        """Return the steps between a good and a bad labeler's share of right answers.

        Args:
            config: p₁, and p₀ where it is set.
            k: K, candidates of the gold.
            usual: How often good labelers answer that gold rightly; None: p₁.
        """
        good = config.good_accuracy if usual is None else usual
        bad = config.bad_accuracy_of(k, usual)
        return cls(down=math.log(good / bad), up=math.log((1 - bad) / (1 - good)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """How a walk from 0 ends."""

    at_low: Probabilities
    """[N], the probability that answer n + 1 is its last and brings it to the lower bound."""
    at_high: Probabilities
    """[N], the probability that answer n + 1 is its last and brings it to the upper bound."""
    in_doubt: Probabilities
    """[N], the probability that answer n + 1 is given, and asked while the sum was in doubt."""

    @property
    def mean_length(self) -> float:
        """Answers until it ends, on average."""
        return float(np.arange(1, len(self.at_low) + 1) @ (self.at_low + self.at_high))

    @property
    def ends_high(self) -> float:
        """The probability that it ends at the upper bound."""
        return float(self.at_high.sum())


def walk(
    steps: Steps, accuracy: float, *, low: float, high: float, doubt_from: float = math.inf
) -> Walk:
    """Follow the sum of somebody who answers gold rightly with probability `accuracy`.

    Args:
        steps: What answers are worth.
        accuracy: In [0, 1].
        low: At or below it the walk ends, once it has begun; at most 0.
        high: At or above it the walk ends; above 0.
        doubt_from: At or above it the sum is in doubt.
    """
    at_low: list[float] = []
    at_high: list[float] = []
    in_doubt: list[float] = []
    # under_way[j]: the probability of no end yet, with first + j wrong answers.
    under_way, first, left, ended_high = np.ones(1), 0, 1.0, 0.0
    num_below_doubt = int(doubt_from > EQUAL)
    while left > LEFT_OUT * ended_high and left > 0.0:
        n = len(at_low) + 1
        in_doubt.append(float(under_way[num_below_doubt:].sum()))
        after = np.append(under_way * accuracy, 0.0)
        after[1:] += under_way * (1 - accuracy)
        wrong = first + np.arange(len(after))
        sums = wrong * steps.up - (n - wrong) * steps.down
        num_low = int(np.count_nonzero(sums <= low + EQUAL))
        num_below_high = int(np.count_nonzero(sums < high - EQUAL))
        at_low.append(float(after[:num_low].sum()))
        at_high.append(float(after[num_below_high:].sum()))
        under_way, first = after[num_low:num_below_high], first + num_low
        num_below_doubt = int(np.count_nonzero(sums[num_low:num_below_high] < doubt_from - EQUAL))
        left, ended_high = float(under_way.sum()), ended_high + at_high[-1]
    return Walk(at_low=np.array(at_low), at_high=np.array(at_high), in_doubt=np.array(in_doubt))


def run_length(steps: Steps, accuracy: float, threshold: float) -> float:
    """Return after how many gold answers, on average, the cumulative sum reaches the threshold.

    Between false alarms of somebody good; of somebody who has turned bad, the delay until they are
    found, from a sum of 0, which is the longest. Infinite at accuracy 1.
    """
    cycle = walk(steps, accuracy, low=0.0, high=threshold)
    return cycle.mean_length / cycle.ends_high if cycle.ends_high else math.inf


def in_labels(
    config: QualityConfig, k: int, accuracy: float, doubt_from: float
) -> tuple[float, float]:
    """Return after how many labels the cumulative sum reaches its threshold, and gold's share.

    Both on average, of somebody who was cleared, has done their first tasks, and against whom
    nothing but gold speaks.

    Args:
        config: Both tests, and the shares of gold.
        k: K, candidates of the gold.
        accuracy: Share of right gold answers.
        doubt_from: Where the sum is at or above it, the share of gold is the larger one; nats.
    """
    gold, high = config.gold, drift_threshold(config, k)
    cycle = walk(Steps.of(config, k), accuracy, low=0.0, high=high, doubt_from=doubt_from)
    doubted = float(cycle.in_doubt.sum())
    labels = (cycle.mean_length - doubted) / gold.share
    labels += doubted / max(gold.share, gold.share_doubted)
    until = labels / cycle.ends_high if cycle.ends_high else math.inf
    return until, cycle.mean_length / labels


def share_stopped(steps: Steps, accuracy: float, threshold: float, num_golds: int) -> Probabilities:
    """Return how probably the cumulative sum has reached the threshold after 1, 2, … answers.

    Returns:
        [num_golds], rising.
    """
    cycle = walk(steps, accuracy, low=0.0, high=threshold)
    size = min(num_golds, len(cycle.at_low))
    back, out = cycle.at_low[:size], cycle.at_high[:size]
    at_zero = np.zeros(num_golds + 1)
    """[num_golds + 1], the probability that a walk of the chain begins after n answers."""
    at_zero[0] = 1.0
    stops = np.zeros(num_golds)
    for n in range(1, num_golds + 1):
        recent = at_zero[max(0, n - size) : n][::-1]
        at_zero[n] = recent @ back[: len(recent)]
        stops[n - 1] = recent @ out[: len(recent)]
    return stops.cumsum()


def threshold_for(steps: Steps, accuracy: float, target: float) -> float:
    """Return the lowest threshold at which `run_length` is `target` or more, nats.

    At `exp(−θ·h)` the chance of a walk to end at h is bounded, θ > 0 being where
    E[exp(θ·step)] = 1 (1 for somebody of just the good accuracy): that bounds the search.

    Args:
        steps: What answers are worth.
        accuracy: Of somebody whose sum falls on average: see `turning_accuracy`.
        target: Gold answers between two alarms, on average.

    Raises:
        ValueError: The sum of somebody so inaccurate does not fall.
    """
    if accuracy <= turning_accuracy(steps):
        raise ValueError(f"accuracy {accuracy:g}: the sum rises, so no threshold holds for long")
    low, high = 0, math.ceil(math.log(target) / _exponent(steps, accuracy) / THRESHOLD_STEP) + 1
    while high - low > 1:
        middle = (low + high) // 2
        if run_length(steps, accuracy, middle * THRESHOLD_STEP) >= target:
            high = middle
        else:
            low = middle
    return high * THRESHOLD_STEP


def turning_accuracy(steps: Steps) -> float:
    """Return the accuracy at which the sum neither rises nor falls on average."""
    return steps.up / (steps.up + steps.down)


def _exponent(steps: Steps, accuracy: float) -> float:
    """Return θ > 0 with E[exp(θ·step)] = 1."""

    def excess(theta: float) -> float:
        wrong = (1 - accuracy) * math.exp(theta * steps.up)
        return accuracy * math.exp(-theta * steps.down) + wrong - 1.0

    top = 1.0
    while excess(top) < 0.0:
        top *= 2.0
    bottom = top
    while excess(bottom) >= 0.0:
        bottom /= 2.0
    return float(brentq(excess, bottom, top))


def share_suspended(
    config: QualityConfig, k: int, accuracy: float, num_golds: int
) -> Probabilities:
    """Return how probably somebody is suspended by their 1st, 2nd, … gold answer: by both tests.

    The cumulative sum begins where the sequential test has cleared them.

    Returns:
        [num_golds], rising.
    """
    steps = Steps.of(config, k)
    first = sequential_test(steps, accuracy, config)
    later = share_stopped(steps, accuracy, drift_threshold(config, k), num_golds)
    suspended = np.zeros(num_golds)
    for n, (cleared, called_bad) in enumerate(zip(first.at_low, first.at_high, strict=True), 1):
        if n > num_golds:
            break
        suspended[n - 1 :] += called_bad
        suspended[n:] += cleared * later[: num_golds - n]
    return suspended


def sequential_test(steps: Steps, accuracy: float, config: QualityConfig) -> Walk:
    """Follow Wald's sequential test: low calls somebody good, high calls them bad."""
    low, high = sequential_bounds(config)
    return walk(steps, accuracy, low=low, high=high)


def sequential_bounds(config: QualityConfig) -> tuple[float, float]:
    """Return the sums at which somebody is called good, going down, and bad, going up; nats.

    log(β/(1 − α)) and log((1 − β)/α), α being how often a good labeler is called bad, β how often a
    bad one good (Wald 1945, "Sequential Tests of Statistical Hypotheses").
    """
    alpha, beta = config.false_alarm, config.missed_alarm
    return math.log(beta / (1 - alpha)), math.log((1 - beta) / alpha)


def drift_threshold(config: QualityConfig, k: int) -> float:
    """Return h of the cumulative sum: what is set, or the lowest that holds both run lengths.

    Args:
        config: The run lengths and their accuracies.
        k: K, candidates of the gold.
    """
    if config.drift_threshold is not None:
        return config.drift_threshold
    return _lowest_threshold(
        Steps.of(config, k),
        (config.good_accuracy, config.good_run_length),
        (config.fair_accuracy, config.fair_run_length),
    )


@lru_cache(maxsize=64)
def _lowest_threshold(steps: Steps, *promises: tuple[float, float]) -> float:
    """Return the lowest threshold that holds a run length at each accuracy."""
    return max(threshold_for(steps, accuracy, target) for accuracy, target in promises)
