"""π against ρ in the eyes of people: the win rate on validation labels must not fall below ½.

The one guard that asks people, so that it sees whatever the reward, the learner or a connector
turned around. It is told every vote in order and looks after each, so a bound for one look would
trip by accident sooner or later; this one is a CUSUM, whose false alarms are a stated number of
votes apart (see `confidence.longest_fall`). It forgets wins of long ago, which a mean would not.
Answers to one query are alike: of several, as outside tools may bring, the share that are wins
counts as one vote.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field

from cluster.guards.confidence import longest_fall
from cluster.guards.settings import GuardSettings
from cluster.guards.verdict import Verdict
from label_queue.figures.validation import ValidationVote, win_share, winrate

NAME = "winrate"


class WinrateConfig(GuardSettings):
    """How low, and how rarely by accident."""

    worst_rate: float = Field(default=0.3, gt=0, lt=0.5)
    """The win rate that the guard is quickest to find, by Wald's test. [own]"""
    votes_to_false_alarm: float = Field(default=10_000.0, ge=10, le=1e12)
    """A policy that people like exactly as well as ρ trips it once in so many votes at most; one
    they prefer, less often by far. At a win rate of 0.1 some 37 votes trip it, at 0.3 some 112. All
    on one query are one. [own]"""


@dataclass(frozen=True, slots=True, kw_only=True)
class WinrateState:
    """Votes up to a moment are done with: a person has seen what they said."""

    since: float = 0.0
    """Unix seconds."""


def judge(
    config: WinrateConfig, state: WinrateState, votes: Sequence[ValidationVote]
) -> tuple[WinrateState, Verdict | None]:
    """Take all votes that count now, in order; those of excluded labelers are no longer there."""
    new = [each for each in votes if each.received_at > state.since]
    by_query: dict[str, list[ValidationVote]] = defaultdict(list)
    for each in new:
        by_query[each.query_id].append(each)
    asked = list(by_query.values())
    fall, begin = longest_fall([win_share(given) for given in asked], config.worst_rate)
    threshold = math.log(config.votes_to_false_alarm)
    if fall < threshold:
        return state, None
    lost = [each for given in asked[begin:] for each in given]
    found, num_won = winrate(lost), sum(each.is_win for each in lost)
    verdict = Verdict(
        guard=NAME,
        reason="labelers prefer the base model: the policy won "
        f"{num_won} of the last {len(lost)} validation votes ({found.rate:.0%}, at most "
        f"{found.high:.0%})",
        figures={
            "rate": found.rate,
            "high": found.high,
            "num_votes": len(lost),
            "fall": fall,
            "threshold": threshold,
        },
    )
    return WinrateState(since=new[-1].received_at), verdict
