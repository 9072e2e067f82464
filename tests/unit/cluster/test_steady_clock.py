"""Durations of a run whose machine's clock is set while it goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.loops.steady_clock import SteadyClock
from tests.support.journal_desk import Desk, make_batch


def test_it_says_what_the_clock_said_and_what_has_passed_since() -> None:
    said, passed = [1_000.0], [7.0]
    clock = SteadyClock(lambda: said[0], lambda: passed[0])
    said[0] -= 500.0
    passed[0] += 2.5
    assert clock() == 1_002.5


@pytest.mark.parametrize("set_by_s", [-3600.0, 3600.0])
def test_what_takes_time_takes_no_other_where_the_clock_is_set(
    tmp_path: Path, set_by_s: float
) -> None:
    desk = Desk(tmp_path)
    with desk.journal.learning():
        desk.now += 6
        desk.set_by_s = set_by_s
    desk.step(make_batch(0, 1))
    assert desk.last_row["time/wall_s"] == 6.0
    with desk.journal.timing("weight_sync"), desk.journal.waiting("rollouts"):
        desk.set_by_s *= 2
        desk.now += 2
        assert desk.journal.loop_state().learner_for_s == 2.0
    assert desk.journal.pace() == {
        "throughput/episodes_per_s": 1.0,
        "throughput/learner_idle": 0.25,
        "throughput/training_s": 6.0,
        "throughput/scoring_s": 0.0,
        "throughput/weight_sync_s": 2.0,
    }
    desk.recordings.close()
