"""A reward version whose scores go against its predecessor's: one of the two is upside down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import StatisticsError, correlation

from pydantic import Field

from cluster.guards.confidence import correlation_above
from cluster.guards.settings import GuardSettings
from cluster.guards.verdict import NUM_SAMPLES, Sample, Verdict
from protocol.settings import Count

NAME = "reward_turned"


class RewardTurnedConfig(GuardSettings):
    """When two versions disagree beyond doubt. Refits after an exclusion have a stricter bound."""

    least_responses: Count = 64
    """Recent responses scored by both; fewer say nothing. [own]"""
    standard_errors: float = Field(default=4.0, ge=1, le=100)
    """The correlation must be so many standard errors below 0 (Fisher's z). Versions of clean demo
    runs correlate at 0.4 to 1, and two rewards that know nothing trip once in 30,000. [own]"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TwiceScored:
    """A recent response under two reward versions."""

    prompt: str
    response: str
    before: float
    after: float


def judge(
    config: RewardTurnedConfig, version: int, responses: Sequence[TwiceScored]
) -> tuple[float | None, Verdict | None]:
    """Return the correlation, where it is defined, and whether it is negative."""
    before, after = [each.before for each in responses], [each.after for each in responses]
    if len(responses) < config.least_responses:
        return None, None
    try:
        pearson = correlation(before, after)
    except StatisticsError:
        return None, None
    high = correlation_above(pearson, len(responses), config.standard_errors)
    if high >= 0:
        return pearson, None
    verdict = Verdict(
        guard=NAME,
        reason=f"reward version {version} goes against the one before it: their scores of "
        f"{len(responses)} recent responses correlate at {pearson:.2f}",
        figures={
            "correlation": pearson,
            "high": high,
            "num_responses": len(responses),
            "reward_version": version,
            "threshold": 0.0,
        },
        samples=_most_moved(responses),
    )
    return pearson, verdict


def _most_moved(responses: Sequence[TwiceScored]) -> tuple[Sample, ...]:
    moved = sorted(responses, key=lambda each: abs(each.after - each.before), reverse=True)
    return tuple(
        Sample(
            prompt=each.prompt,
            response=each.response,
            figures={"score_before": each.before, "score_after": each.after},
        )
        for each in moved[:NUM_SAMPLES]
    )
