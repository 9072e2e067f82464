"""When a run that shall stop is urged, in which order, and when it is cut off."""

from __future__ import annotations

import pytest

from cluster.cluster_config import ClusterConfig
from cluster.stop_clock import SAME_REQUEST_S, StopClock, Urge

CANCEL, CUT, FINISH = Urge.CANCEL, Urge.CUT, Urge.FINISH


def urges(clock: StopClock, until_s: int) -> list[tuple[int, Urge]]:
    """Return what is due at each whole second."""
    return [(now, urge) for now in range(until_s + 1) for urge in clock.due(now)]


def test_nothing_is_due_before_somebody_asks() -> None:
    clock = StopClock(15)
    assert urges(clock, 100) == []
    assert clock.seconds_until_due(100) is None


def test_a_step_may_finish_then_what_runs_is_cancelled_and_cut_off_within_20_s() -> None:
    clock = StopClock(ClusterConfig().stop_s)
    clock.asked(0)
    assert urges(clock, 60) == [(0, FINISH), (10, CANCEL), (15, CANCEL), (19, CUT)]


def test_asked_again_nothing_begins_anew() -> None:
    clock = StopClock(15)
    clock.asked(0)
    assert clock.due(0) == [FINISH]
    clock.asked(5)
    assert urges(clock, 60) == [(10, CANCEL), (15, CANCEL), (19, CUT)]


def test_at_once_nothing_may_finish() -> None:
    clock = StopClock(15)
    clock.asked(0, at_once=True)
    assert clock.due(0) == [CANCEL]


def test_a_request_can_become_one_for_at_once() -> None:
    clock = StopClock(300)
    clock.asked(0)
    clock.due(0)
    clock.asked(5, at_once=True)
    assert clock.due(5) == [CANCEL]
    clock.asked(6, at_once=True)
    assert clock.due(6) == []


def test_a_second_signal_cuts_off_what_the_first_began() -> None:
    clock = StopClock(15)
    clock.signalled(0)
    assert clock.due(0) == [FINISH]
    clock.signalled(SAME_REQUEST_S)
    assert urges(clock, 60) == [(1, CUT)]


def test_a_signal_that_is_sent_twice_in_one_breath_is_one() -> None:
    clock = StopClock(15)
    clock.signalled(0)
    clock.signalled(0.01)
    assert clock.due(0.01) == [FINISH]


def test_the_first_signal_after_a_request_cuts_nothing_off() -> None:
    clock = StopClock(15)
    clock.asked(0)
    clock.due(0)
    clock.signalled(5)
    assert clock.due(5) == []
    clock.signalled(7)
    assert clock.due(7) == [CUT]


@pytest.mark.parametrize(("now", "left_s"), [(1, 9), (12, 3), (16, 3)])
def test_the_next_urge_is_known(now: float, left_s: float) -> None:
    clock = StopClock(15)
    clock.asked(0)
    clock.due(now)
    assert clock.seconds_until_due(now) == left_s


def test_an_urge_that_is_late_is_due_now() -> None:
    clock = StopClock(15)
    clock.asked(0)
    assert clock.seconds_until_due(30) == 0
