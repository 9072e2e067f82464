"""The schedule of rounds, whatever its numbers."""

from __future__ import annotations

import itertools

from hypothesis import assume, given
from hypothesis import strategies as st

from label_queue.schedule import LabelSchedule


@st.composite
def schedules(draw: st.DrawFn) -> LabelSchedule:
    rounds = draw(st.integers(2, 12))
    initial = draw(st.integers(1, 500))
    return LabelSchedule(
        total=initial + draw(st.integers(rounds - 1, 3_000)),
        initial=initial,
        num_episodes=draw(st.integers(rounds, 5_000)),
        refits=draw(st.integers(1, 30)),
        num_rounds=rounds,
    )


@given(schedules())
def test_it_is_a_step_function_from_n0_to_n(schedule: LabelSchedule) -> None:
    assert schedule.wanted(0) == schedule.initial
    for n in (schedule.num_episodes - 1, schedule.num_episodes, 2 * schedule.num_episodes):
        assert schedule.wanted(n) == schedule.total
    wanted = [schedule.wanted(n) for n in range(schedule.num_episodes)]
    assert wanted == sorted(wanted)
    assert len(set(wanted)) == schedule.num_rounds


@given(schedules())
def test_it_steps_where_a_round_begins_and_nowhere_else(schedule: LabelSchedule) -> None:
    assert schedule.num_rounds is not None
    firsts = [schedule.first_episode(number) for number in range(schedule.num_rounds)]
    assert firsts == sorted(set(firsts))
    for number, first in enumerate(firsts):
        assert schedule.round_at(first) == number
        assert first == 0 or schedule.round_at(first - 1) == number - 1


@given(schedules())
def test_every_round_ends_with_one_refit_and_rounds_share_alike(schedule: LabelSchedule) -> None:
    assert schedule.num_rounds is not None
    points = schedule.refit_points
    firsts = [schedule.first_episode(number) for number in range(schedule.num_rounds)]
    assert points == tuple(schedule.wanted(first) for first in firsts)
    sizes = [after - before for before, after in itertools.pairwise(points)]
    assert max(sizes) - min(sizes) <= 1


@given(schedules(), st.integers(1, 600))
def test_with_a_step_for_each_round_no_round_is_passed_over(
    schedule: LabelSchedule, batch: int
) -> None:
    assert schedule.num_rounds is not None
    assume(schedule.num_episodes // batch >= schedule.num_rounds)
    met = {schedule.round_at(n) for n in range(0, schedule.num_episodes, batch)}
    assert met == set(range(schedule.num_rounds))
