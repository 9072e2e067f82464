"""Gold: what answers to tasks with a known answer say of a labeler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from scipy.special import betaincinv

from label_queue.quality.run_length import Steps, sequential_bounds
from label_queue.quality_config import QualityConfig
from protocol.labels import AnswerEvent, ComparisonQuery

PRIOR_RIGHT, PRIOR_WRONG = 8.0, 2.0
"""The prior Beta(8, 2): as if of ten gold tasks eight had been answered rightly."""

Verdict = Literal["good", "bad"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldAccuracy:
    """How many gold tasks a labeler answers rightly, as far as can be told."""

    mean: float
    low: float
    """Lower end of the central 95 % interval."""
    high: float
    """Upper end of the central 95 % interval."""


def gold_accuracy(right: int, wrong: int) -> GoldAccuracy:
    """Return mean and central 95 % interval of Beta(8 + right, 2 + wrong)."""
    a, b = PRIOR_RIGHT + right, PRIOR_WRONG + wrong
    return GoldAccuracy(
        mean=a / (a + b),
        low=float(betaincinv(a, b, 0.025)),
        high=float(betaincinv(a, b, 0.975)),
    )


def is_right(query: ComparisonQuery, label: AnswerEvent) -> bool | None:
    """Return whether a label answers a gold query rightly; None if it does not answer it.

    A ranking is right if its first place is. A tie is wrong: there is a best one. Skips, reports
    and "both bad" say nothing of which is best.
    """
    if label.outcome == "tie":
        return False
    best = label.ranking[0] if label.ranking else label.choice
    return None if best is None else best == query.gold_answer


def evidence(*, is_right: bool, config: QualityConfig, k: int, usual: float | None = None) -> float:
    """Return log P(answer | bad) − log P(answer | good), nats; positive speaks against.

    Args:
        is_right: The answer.
        config: How good and bad labelers answer.
        k: K, candidates of the gold.
        usual: How often good labelers answer this gold rightly; None: as the config says.
    """
    steps = Steps.of(config, k, usual)
    return -steps.down if is_right else steps.up


def sequential_verdict(log_ratio: float, config: QualityConfig) -> Verdict | None:
    """Return what Wald's sequential test says of a summed evidence; None: go on asking."""
    good, bad = sequential_bounds(config)
    if log_ratio >= bad:
        return "bad"
    return "good" if log_ratio <= good else None
