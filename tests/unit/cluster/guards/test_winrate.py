"""The guard that asks people: when their votes trip it, and that ties with ρ do not."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from cluster.guards import winrate
from cluster.guards.confidence import longest_fall
from cluster.guards.winrate import WinrateConfig, WinrateState
from label_queue.figures.agreement import wilson_bounds
from label_queue.figures.validation import ValidationVote


def votes(wins: list[bool], since: int = 0) -> list[ValidationVote]:
    return [
        ValidationVote(
            received_at=since + 1.0 + number,
            is_win=is_win,
            policy_versions=(1,),
            query_id=f"q{number}",
            labeler_id="ann",
        )
        for number, is_win in enumerate(wins)
    ]


def first_trip(wins: list[bool]) -> int | None:
    """After how many votes it trips: it looks after each."""
    given = votes(wins)
    for count in range(1, len(given) + 1):
        _, verdict = winrate.judge(WinrateConfig(), WinrateState(), given[:count])
        if verdict is not None:
            return count
    return None


def drawn(rate: float, count: int, seed: int) -> list[bool]:
    rng = random.Random(seed)
    return [rng.random() < rate for _ in range(count)]


def test_lost_votes_alone_trip_it_at_the_28th() -> None:
    assert math.ceil(math.log(10_000) / math.log(2 * 0.7)) == 28
    assert first_trip([False] * 40) == 28


def test_a_policy_that_is_never_preferred_trips_it_by_votes_that_the_docs_name() -> None:
    def mean(rate: float) -> float:
        found = [first_trip(drawn(rate, 400, seed)) for seed in range(30)]
        return sum(each or 400 for each in found) / 30

    assert mean(0.1) == pytest.approx(37, rel=0.2)
    assert mean(0.3) == pytest.approx(112, rel=0.25)


def test_a_clean_run_s_votes_do_not_trip_it() -> None:
    """A demo has some 150; at first π is ρ but for a step, then it wins three in four."""
    for seed in range(100):
        assert first_trip([*drawn(0.5, 40, seed), *drawn(0.75, 110, seed + 1_000)]) is None


def test_as_good_as_the_reference_is_no_reason_to_stop_in_thousands_of_votes() -> None:
    """The mean of votes to a false alarm is 10,000 or more, so that 20 × 500 have 1 at most."""
    falls = [_top(drawn(0.5, 500, seed)) for seed in range(20)]
    assert sum(fall >= math.log(10_000) for fall in falls) <= 1


def _top(wins: list[bool]) -> float:
    return max(longest_fall(wins[:count], 0.3)[0] for count in range(1, len(wins) + 1))


def test_many_answers_to_few_queries_do_not_trip_a_policy_as_good_as_the_reference() -> None:
    """Ten labelers who see one query alike are no ten votes: three such were enough to stop."""

    def answers(is_win: bool, query: int) -> list[ValidationVote]:
        given = votes([is_win] * 10, since=10 * query)
        return [
            replace(each, query_id=f"q{query}", labeler_id=f"l{number}")
            for number, each in enumerate(given)
        ]

    lost = [each for query in range(28) for each in answers(False, query)]
    assert winrate.judge(WinrateConfig(), WinrateState(), lost[:270])[1] is None
    _, verdict = winrate.judge(WinrateConfig(), WinrateState(), lost)
    assert verdict is not None
    assert verdict.figures["num_votes"] == 280
    # As if it were known of 28 trials that all were lost, not of 280.
    assert verdict.figures["high"] == pytest.approx(wilson_bounds(0, 28)[1])
    split = [replace(each, is_win=number % 2 == 0) for number, each in enumerate(lost)]
    assert winrate.judge(WinrateConfig(), WinrateState(), split)[1] is None
    assert longest_fall([0.5] * 100, 0.3)[0] == 0.0


def test_wins_of_long_ago_do_not_hide_that_it_loses_now() -> None:
    assert first_trip([True] * 500 + [False] * 40) == 528


def test_what_a_person_has_released_is_not_held_against_it_again() -> None:
    state, verdict = winrate.judge(WinrateConfig(), WinrateState(), votes([False] * 40))
    assert verdict is not None
    assert "won 0 of the last 40 validation votes" in verdict.reason
    again = votes([False] * 40)
    assert winrate.judge(WinrateConfig(), state, again) == (state, None)
    more = [*again, *votes([False] * 28, since=100)]
    _, verdict = winrate.judge(WinrateConfig(), state, more)
    assert verdict is not None
    assert verdict.figures["num_votes"] == 28


def test_the_fall_begins_where_it_last_stood_at_nothing() -> None:
    fall, begin = longest_fall([False, True, True, False, False], 0.3)
    assert fall == pytest.approx(2 * math.log(1.4))
    assert begin == 3
