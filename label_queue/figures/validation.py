"""What people say of the policy beside ρ: their votes on validation queries."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from label_queue.figures.agreement import wilson_bounds
from label_queue.kept import kept
from label_queue.quality.preference import best_id
from protocol.labels import AnswerEvent, ComparisonQuery

WINDOW = 100
"""Newest votes on the policy as it is now that stand for it: a bound of ± 0.1 at a rate of ½."""


@kept()
@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationVote:
    """A labeler's choice between the responses of ρ and those of a later policy."""

    received_at: float
    is_win: bool
    """Whether the policy's response was chosen."""
    policy_versions: tuple[int, ...]
    """Versions of the responses shown, rising, each once, and ρ left out."""
    query_id: str
    labeler_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WinRate:
    """How often people prefer π to ρ where they were shown as many responses of each."""

    rate: float
    """Share of choices that prefer π, in [0, 1]; NaN before the first label."""
    low: float
    """Lower end of the 95 % interval; NaN before the first label."""
    high: float
    """Upper end of the 95 % interval; NaN before the first label."""
    num_labels: int


def as_vote(query: ComparisonQuery, label: AnswerEvent) -> ValidationVote | None:
    """Return a label as a choice between π and ρ, a ranking's first too; None where it is none.

    Ties are none, nor are queries in which ρ has not half of the candidates, as responses of the
    policy came from when it was still ρ: in the others chance is ½.
    """
    if query.purpose != "validation":
        return None
    versions = {c.candidate_id: c.policy_version for c in query.candidates}
    best = best_id(label)
    if 2 * list(versions.values()).count(0) != len(versions) or best is None:
        return None
    return ValidationVote(
        received_at=label.received_at,
        is_win=versions[best] > 0,
        policy_versions=tuple(sorted({*versions.values()} - {0})),
        query_id=label.query_id,
        labeler_id=label.labeler_id,
    )


def win_share(votes: Sequence[ValidationVote]) -> float:
    """Return the share of votes that are wins; NaN of none."""
    return sum(vote.is_win for vote in votes) / len(votes) if votes else math.nan


def winrate(votes: Sequence[ValidationVote]) -> WinRate:
    """Return the share of votes that are wins, and Wilson's interval for votes that hang together.

    Answers to one query, and those of one labeler, are alike, so that many say less than as many
    of others: the interval is that of so many votes as have the variance of these,
    p(1 − p)/V, with V clustered by query and by labeler (`clustered_variance`).
    """
    if not votes:
        return WinRate(rate=math.nan, low=math.nan, high=math.nan, num_labels=0)
    rate = win_share(votes)
    trials = float(len({vote.query_id for vote in votes}))  # where all agree V says nothing
    if 0 < rate < 1:
        trials = min(len(votes), rate * (1 - rate) / clustered_variance(votes, rate))
    low, high = wilson_bounds(rate * trials, trials)
    return WinRate(rate=rate, low=low, high=high, num_labels=len(votes))


def clustered_variance(votes: Sequence[ValidationVote], rate: float) -> float:
    """Return the variance of a rate in (0, 1) whose votes hang together in two ways.

    V = V_query + V_labeler − V_both, each of them G/(G − 1) · Σ_g (Σ_{i∈g} (y_i − p))² / n² over
    its G groups (Cameron, Gelbach and Miller 2011, "Robust Inference With Multiway Clustering",
    eq. 2.8), and never below that of votes on their own, p(1 − p)/n.
    """
    grouped = (
        _variance(votes, rate, [vote.query_id for vote in votes])
        + _variance(votes, rate, [vote.labeler_id for vote in votes])
        - _variance(votes, rate, [(vote.query_id, vote.labeler_id) for vote in votes])
    )
    return max(grouped, rate * (1 - rate) / len(votes))


def _variance(votes: Sequence[ValidationVote], rate: float, groups: Sequence[Hashable]) -> float:
    """Return the variance of a rate by one grouping; 0 where all are of one group."""
    sums: dict[Hashable, float] = defaultdict(float)
    for vote, group in zip(votes, groups, strict=True):
        sums[group] += vote.is_win - rate
    if len(sums) == 1:
        return 0.0
    return len(sums) / (len(sums) - 1) * sum(each**2 for each in sums.values()) / len(votes) ** 2
