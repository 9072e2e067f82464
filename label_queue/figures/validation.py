"""What people say of the policy beside ρ: their votes on validation queries."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from label_queue.figures.agreement import wilson_bounds
from label_queue.figures.known_order import first_choice
from protocol.labels import AnswerEvent, ComparisonQuery


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationVote:
    """A labeler's choice between the responses of ρ and those of a later policy."""

    received_at: float
    is_win: bool
    """Whether the policy's response was chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WinRate:
    """How often people prefer π to ρ where they were shown as many responses of each."""

    rate: float
    """Share of choices that prefer π, in [0, 1]; NaN before the first label."""
    low: float
    """Lower end of the 95 % Wilson interval; NaN before the first label."""
    num_labels: int


def validation_votes(
    queries: Mapping[str, ComparisonQuery], labels: Iterable[AnswerEvent]
) -> list[ValidationVote]:
    """Return all choices on validation queries, a ranking's first too, in the order of `labels`.

    Ties are left out, and so are queries in which ρ has not half of the candidates, as responses
    of the policy came from when it was still ρ: in the others chance is ½.
    """
    votes = []
    for label in labels:
        query = queries[label.query_id]
        versions = {c.candidate_id: c.policy_version for c in query.candidates}
        is_even = 2 * list(versions.values()).count(0) == len(versions)
        best = first_choice(label)
        if query.purpose == "validation" and is_even and best is not None:
            votes.append(ValidationVote(received_at=label.received_at, is_win=versions[best] > 0))
    return votes


def winrate(votes: Sequence[ValidationVote]) -> WinRate:
    """Return the share of votes that are wins."""
    if not votes:
        return WinRate(rate=math.nan, low=math.nan, num_labels=0)
    wins = sum(vote.is_win for vote in votes)
    low, _ = wilson_bounds(wins, len(votes))
    return WinRate(rate=wins / len(votes), low=low, num_labels=len(votes))
