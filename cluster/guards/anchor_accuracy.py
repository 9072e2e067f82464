"""Pairs whose order is known: the reward must tell better from worse above chance.

A reward with its sign flipped, trained on labels turned around, or with a head of zeros gives
itself away here, whatever the policy writes. The pairs are not independent draws for one model, so
the bounds below are taken wide, and versions of few labels are not judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field

from cluster.guards.settings import GuardSettings
from cluster.guards.verdict import NUM_SAMPLES, Sample, Verdict
from label_queue.figures.agreement import wilson_bounds
from label_queue.figures.known_order import KnownPair
from protocol.settings import Count

NAME = "anchor_accuracy"


class AnchorAccuracyConfig(GuardSettings):
    """Which pairs, and when the reward is said not to know them."""

    path: str = ""
    """JSONL of pairs, {"prompt": text or chat messages, "better": text, "worse": text} a line. ""
    takes what the run has: where simulated labelers alone judge our own reviews, pairs of the
    generator's; else gold queries, and comparisons that people agree on, out of the ledger."""
    num_pairs: Count = 256
    """At most so many, those of the oldest queries: they stay, unless what says their order is
    taken back. [own]"""
    least_pairs: Count = 24
    """Fewer say nothing. [own]"""
    least_labels: Count = 64
    """Reward versions of fewer labels are not judged: a reward that has learned little is far
    from ½ to either side by accident. [own]"""
    least_votes: int = Field(default=3, ge=2, le=1_000)
    """Labelers who must have answered a query for its comparison to become a pair. [own]"""
    standard_errors: float = Field(default=3.0, ge=1, le=100)
    """Standard errors of Wilson's bounds, for a reward to be above chance once, or below. [own]"""
    kept_standard_errors: float = Field(default=1.645, ge=0, le=100)
    """Standard errors of the lower bound that must stay above ½ after that. Fewer, so that a reward
    at the very edge does not fall off it by accident: on a clean demo run of few labels 68 to 88 %
    of 256 pairs were right, 59 % are above chance, and below 55 % they are not any more. [own]"""
    num_versions: Count = 2
    """Versions in a row that must be below chance, or no longer above it. [own]"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorAccuracyState:
    """How the versions so far did."""

    was_above: bool = False
    """Whether a version was above chance by its bound: only what was there can be lost."""
    num_below: int = 0
    """Versions in a row below chance by their bound."""
    num_lost: int = 0
    """Versions in a row not above chance, after one that was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorScores:
    """What a reward version says of the pairs."""

    version: int
    labels_used: int
    pairs: Sequence[KnownPair]
    better: Sequence[float]
    """[N]."""
    worse: Sequence[float]
    """[N]."""

    @property
    def num_right(self) -> float:
        """Pairs in their order; those of equal scores count half."""
        pairs = zip(self.better, self.worse, strict=True)
        return sum(1.0 if better > worse else 0.5 * (better == worse) for better, worse in pairs)

    @property
    def accuracy(self) -> float:
        """Of them all, in [0, 1]."""
        return self.num_right / len(self.pairs)


def judge(
    config: AnchorAccuracyConfig, state: AnchorAccuracyState, scores: AnchorScores
) -> tuple[AnchorAccuracyState, Verdict | None]:
    """Take what a new reward version says of the pairs."""
    count = len(scores.pairs)
    if count < config.least_pairs or scores.labels_used < config.least_labels:
        return state, None
    low, high = wilson_bounds(scores.num_right, count, config.standard_errors)
    still_low, _ = wilson_bounds(scores.num_right, count, config.kept_standard_errors)
    state = AnchorAccuracyState(
        was_above=state.was_above or low > 0.5,
        num_below=state.num_below + 1 if high < 0.5 else 0,
        num_lost=state.num_lost + 1 if state.was_above and still_low <= 0.5 else 0,
    )
    says_nothing = len({*scores.better, *scores.worse}) == 1
    is_lasting = max(state.num_below, state.num_lost) >= config.num_versions
    if not is_lasting and not says_nothing:
        return state, None
    what = "gives all the same score" if says_nothing else "is not above chance any more"
    if state.num_below >= config.num_versions:
        what = "has them the wrong way round"
    verdict = Verdict(
        guard=NAME,
        reason=f"reward version {scores.version} orders {scores.num_right:g} of {count} anchor "
        f"pairs rightly ({low:.0%} to {high:.0%}): it {what}",
        figures={
            "accuracy": scores.accuracy,
            "low": low,
            "high": high,
            "num_pairs": count,
            "threshold": 0.5,
            "reward_version": scores.version,
        },
        samples=_worst(scores),
    )
    return AnchorAccuracyState(was_above=state.was_above), verdict


def _worst(scores: AnchorScores) -> tuple[Sample, ...]:
    rows = sorted(
        zip(scores.pairs, scores.better, scores.worse, strict=True),
        key=lambda row: row[1] - row[2],
    )
    samples: list[Sample] = []
    for pair, better, worse in rows[: NUM_SAMPLES // 2]:
        samples += [
            Sample(prompt=pair.prompt, response=text, figures={"score": score}, note=note)
            for text, score, note in ((pair.better, better, "better"), (pair.worse, worse, "worse"))
        ]
    return tuple(samples)
