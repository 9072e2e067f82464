"""The guard on pairs of known order."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from cluster.guards import anchor_accuracy
from cluster.guards.anchor_accuracy import (
    AnchorAccuracyConfig,
    AnchorAccuracyState,
    AnchorScores,
)
from cluster.guards.verdict import Verdict
from label_queue.figures.known_order import KnownPair

CLEAN = (
    *(0.678, 0.675, 0.682, 0.698, 0.698, 0.737, 0.769, 0.780),
    *(0.757, 0.780, 0.792, 0.851, 0.855, 0.831, 0.812, 0.878),
)
"""Of the reward versions of a demo run, of 256 to 770 labels, on the generator's own 256 pairs."""


def pairs(count: int) -> list[KnownPair]:
    return [
        KnownPair(
            prompt=f"p{n}", better="good", worse="bad", better_tokens=(n, 1), worse_tokens=(n, 2)
        )
        for n in range(count)
    ]


def scored(accuracy: float, count: int = 256, labels_used: int = 300) -> AnchorScores:
    """So many pairs right; the rest the wrong way round, by ever more."""
    right = round(accuracy * count)
    margins = [1.0] * right + [-1.0 - n for n in range(count - right)]
    return AnchorScores(
        version=4,
        labels_used=labels_used,
        pairs=pairs(count),
        better=margins,
        worse=[0.0] * count,
    )


def judged(versions: Sequence[AnchorScores]) -> list[Verdict | None]:
    state, verdicts = AnchorAccuracyState(), []
    for version in versions:
        state, verdict = anchor_accuracy.judge(AnchorAccuracyConfig(), state, version)
        verdicts.append(verdict)
    return verdicts


def test_the_rewards_of_a_clean_run_pass() -> None:
    assert judged([scored(accuracy) for accuracy in CLEAN]) == [None] * len(CLEAN)


def test_a_reward_at_the_edge_of_chance_does_not_fall_off_it_by_accident() -> None:
    rng = random.Random(3)
    versions = [scored(rng.gauss(0.62, 0.015)) for _ in range(300)]
    assert judged(versions) == [None] * 300


def test_a_reward_turned_round_trips_it_at_its_second_version() -> None:
    found = judged([scored(1 - accuracy) for accuracy in CLEAN[:4]])
    assert [each is not None for each in found] == [False, True, False, True]
    assert found[1] is not None
    assert "orders 83 of 256 anchor pairs rightly" in found[1].reason
    assert "wrong way round" in found[1].reason
    assert found[1].figures["accuracy"] == pytest.approx(83 / 256)
    worst = found[1].samples[0]
    assert (worst.prompt, worst.note, worst.figures) == ("p255", "better", {"score": -173.0})


def test_a_reward_that_was_above_chance_must_stay_there() -> None:
    found = judged([scored(a) for a in (0.7, 0.52, 0.7, 0.52, 0.5)])
    assert [each is not None for each in found] == [False] * 4 + [True]
    assert found[4] is not None
    assert "not above chance any more" in found[4].reason


def test_a_reward_that_knows_nothing_yet_is_given_time() -> None:
    assert judged([scored(0.5)] * 20) == [None] * 20


def test_a_head_of_zeros_is_found_at_once() -> None:
    zeros = AnchorScores(
        version=9, labels_used=300, pairs=pairs(64), better=[0.0] * 64, worse=[0.0] * 64
    )
    assert zeros.accuracy == 0.5
    [found] = judged([zeros])
    assert found is not None
    assert "gives all the same score" in found.reason


@pytest.mark.parametrize(
    "version", [scored(0.0, count=23), scored(0.0, labels_used=63)], ids=["pairs", "labels"]
)
def test_too_few_pairs_or_labels_say_nothing(version: AnchorScores) -> None:
    assert judged([version] * 5) == [None] * 5
