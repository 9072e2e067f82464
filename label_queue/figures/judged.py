"""What judges say of the policy, beside those whose labels train, on the same queries."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from label_queue.figures.validation import ValidationVote, WinRate, winrate


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedRates:
    """π's win rate over ρ by those who label to train and by judges, on queries both answered."""

    by_training: WinRate
    """By labelers whose labels train."""
    by_judges: WinRate
    gap: float
    """by_training minus by_judges, in [−1, 1]: what π pleases those it was trained on more than
    others; NaN where there is no such query."""
    low: float
    """Lower end of the gap's 95 % interval; NaN where there is no such query."""
    high: float
    """Upper end of the gap's 95 % interval; NaN where there is no such query."""
    num_queries: int


def judged_rates(
    training: Iterable[ValidationVote], judging: Sequence[ValidationVote], last: int | None = None
) -> JudgedRates:
    """Return both win rates over one window: the queries on which both sides have voted.

    Args:
        training: Votes by labelers whose labels train, newest first.
        judging: Votes by judges, in any order.
        last: How many queries at most, those on which the former voted last; None: all.
    """
    judged: dict[str, list[ValidationVote]] = defaultdict(list)
    for vote in judging:
        judged[vote.query_id].append(vote)
    own: list[ValidationVote] = []
    shared: dict[str, None] = {}
    for vote in training:
        # Once there are enough queries, what others said of the same ones long before counts too.
        if vote.query_id not in (shared if len(shared) == last else judged):
            continue
        shared[vote.query_id] = None
        own.append(vote)
    by_training = winrate(own)
    by_judges = winrate([vote for query_id in shared for vote in judged[query_id]])
    low, high = gap_bounds(by_training, by_judges)
    return JudgedRates(
        by_training=by_training,
        by_judges=by_judges,
        gap=by_training.rate - by_judges.rate,
        low=low,
        high=high,
        num_queries=len(shared),
    )


def gap_bounds(one: WinRate, other: WinRate) -> tuple[float, float]:
    """Return the 95 % bounds of one rate minus another, from the bounds of both.

    d − √((p₁ − l₁)² + (u₂ − p₂)²) and d + √((u₁ − p₁)² + (p₂ − l₂)²), with d = p₁ − p₂ and Wilson's
    bounds l and u (Newcombe 1998, "Interval estimation for the difference between independent
    proportions", method 10; for bounds of whatever kind, Zou and Donner 2008). As if neither rate
    said anything of the other: of votes on the same queries, which agree more often than not, the
    true interval is narrower.
    """
    gap = one.rate - other.rate
    below = math.hypot(one.rate - one.low, other.high - other.rate)
    above = math.hypot(one.high - one.rate, other.rate - other.low)
    return gap - below, gap + above
