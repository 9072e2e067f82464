"""A journal that goes on with an interrupted run: its figures are those of the whole run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.journal_desk import START, Desk, make_batch, make_reward, make_stats
from tests.support.messages import make_policy, make_request, make_rollout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run that learned for 10 s, of which it waited 4, and then was killed."""
    desk = Desk(tmp_path)
    desk.journal.policy_loaded(make_policy(0), 1e-6)
    desk.journal.reward_served(make_reward(1))
    desk.journal.rollouts_finished([make_rollout(make_request(1), 0)])
    desk.journal.actors_stood([make_stats(5.0, 5.0, 0)])
    with desk.journal.learning():
        desk.now += 6
    desk.step(make_batch(0, 1))
    with desk.journal.waiting("rollouts"):
        desk.now += 4
    desk.journal.actors_stood([make_stats(15.0, 10.0, 500)])
    desk.recordings.close()
    return tmp_path


@pytest.fixture
def desk(folder: Path) -> Iterator[Desk]:
    """The same run, resumed 1,000 s later."""
    desk = Desk(folder)
    desk.now = START + 10 + 1000
    rows = [
        {"policy/version": 1.0, "policy/episodes": 8.0, "reward_model/version": 1.0},
        {"labels/seq": 5.0, "labels/redrawn": 2.0},
        {"throughput/weight_sync_s": 1.5},
        {"labels/seq": 9.0, "labels/redrawn": 3.0},
    ]
    desk.journal.resume(rows, num_unscored=3, ended_at=START + 10)
    yield desk
    desk.recordings.close()


def test_the_time_in_between_is_neither_work_nor_idleness(desk: Desk) -> None:
    pace = desk.journal.pace()
    assert pace["throughput/learner_idle"] == pytest.approx(0.4)
    assert pace["throughput/episodes_per_s"] == pytest.approx(8 / 10)
    with desk.journal.learning():
        desk.now += 6
    assert desk.journal.pace()["throughput/learner_idle"] == pytest.approx(4 / 16)
    spans = desk.recorded("learner")
    assert [span["doing"] for span in spans] == ["step", "rollouts", "down", "step"]


def test_where_the_clock_was_set_back_meanwhile_what_was_done_stays_done(folder: Path) -> None:
    desk = Desk(folder)
    desk.now = START - 3600
    desk.journal.resume([{"policy/episodes": 8.0}], num_unscored=0, ended_at=START + 10)
    assert desk.journal.pace()["throughput/learner_idle"] == pytest.approx(0.4)
    with desk.journal.learning():
        desk.now += 6
    pace = desk.journal.pace()
    assert pace["throughput/learner_idle"] == pytest.approx(4 / 16)
    assert pace["throughput/episodes_per_s"] == pytest.approx(8 / 16)
    begun = [float(str(span["started_at"])) for span in desk.recorded("learner")]
    assert begun == sorted(begun)
    desk.recordings.close()


@pytest.mark.parametrize("in_order", [False, True])
def test_rows_go_on_after_the_last_one_where_the_clock_was_set_back(
    folder: Path, in_order: bool
) -> None:
    """The run waited for an hour, by the clock that rises, in which nothing of it is on record."""
    desk = Desk(folder)
    if in_order:
        desk.now = START + 10
        desk.journal.resume([], num_unscored=0, ended_at=START + 10)
        with desk.journal.learning():
            pass
        desk.journal.loops_ended()
    desk.recordings.close()
    desk = Desk(folder)
    desk.now = START + 60
    desk.journal.resume([], num_unscored=0, ended_at=START + 3610)
    desk.now += 5
    assert desk.journal.wall_s == pytest.approx(3615)
    desk.recordings.close()


def test_a_new_start_is_neither_work_nor_idleness(desk: Desk) -> None:
    """The parts take a minute to start, of which the actor, which is up first, waits for half."""
    desk.now += 60
    desk.journal.actors_stood([make_stats(30.0, 0.0, 0)])
    assert desk.last_row["throughput/learner_idle"] == pytest.approx(0.4)
    assert desk.last_row["throughput/episodes_per_s"] == pytest.approx(8 / 10)
    assert desk.last_row["throughput/actor_idle"] == pytest.approx(0.5)
    assert desk.journal.loop_state().learner is None
    with desk.journal.learning():
        desk.now += 6
    desk.journal.actors_stood([make_stats(36.0, 6.0, 0)])
    assert desk.last_row["throughput/learner_idle"] == pytest.approx(4 / 16)
    assert desk.last_row["throughput/actor_idle"] == pytest.approx(1 - 11 / 16)
    down = desk.recorded("learner")[2]
    assert (down["started_at"], down["ended_at"]) == (START + 10, START + 1070)


@pytest.mark.parametrize("num_vain", [0, 1])
def test_nor_is_the_end_of_a_run_that_stopped_in_order(folder: Path, num_vain: int) -> None:
    """It saves its policy for half a minute; once it dies again before its loops run."""
    desk = Desk(folder)
    desk.now = START + 10
    desk.journal.resume([{"policy/episodes": 8.0}], num_unscored=0, ended_at=START + 10)
    with desk.journal.learning():
        desk.now += 10
    desk.journal.loops_ended()
    desk.recordings.close()
    for vain in range(num_vain + 1):
        desk = Desk(folder)
        desk.now = START + 1000 * (vain + 1)
        desk.journal.resume([{"policy/episodes": 8.0}], num_unscored=0, ended_at=desk.now - 500)
        desk.recordings.close()
    assert desk.journal.pace()["throughput/learner_idle"] == pytest.approx(4 / 20)


def test_an_actor_s_start_is_no_time_in_which_it_draws(desk: Desk) -> None:
    """It is up for 30 s before the loops run, and is looked at first when it has drawn for 6."""
    desk.now += 60
    with desk.journal.learning():
        desk.now += 6
    desk.journal.actors_stood([make_stats(36.0, 6.0, 240)])
    assert desk.last_row["throughput/actor_idle"] == pytest.approx(1 - 11 / 16)
    desk.step(make_batch(1, 1))
    # 500 tokens in the 10 s before, 240 since.
    assert desk.last_row["rollout/tokens_per_s"] == pytest.approx(740 / 16)


def test_actors_that_are_others_go_on_with_the_sums(desk: Desk) -> None:
    desk.journal.actors_stood([make_stats(10.0, 10.0, 100)])
    assert desk.last_row["throughput/generation_s"] == pytest.approx(5 + 10)


def test_what_was_told_is_not_told_again(desk: Desk) -> None:
    desk.journal.policy_loaded(make_policy(0), 1e-6)
    desk.journal.reward_served(make_reward(1))
    desk.journal.rollouts_finished([make_rollout(make_request(2), 0)])
    assert desk.sink.rows == []
    assert len(desk.recorded("loads")) == 1
    assert len(desk.recorded("first_samples")) == 1


def test_the_label_queue_is_told_anew_when_each_version_was_sampled(desk: Desk) -> None:
    assert [version for version, _ in desk.journal.newly_sampled()] == [0]


def test_the_time_that_weights_took_to_reach_the_actors_stays_counted(desk: Desk) -> None:
    assert desk.journal.pace()["throughput/weight_sync_s"] == 1.5
    with desk.journal.timing("weight_sync"):
        desk.now += 2
    assert desk.journal.pace()["throughput/weight_sync_s"] == 3.5


def test_responses_that_were_alike_stay_counted(desk: Desk) -> None:
    desk.journal.labels_stood({"labels/seq": 9.0}, {})
    assert desk.last_row["labels/redrawn"] == 3
    desk.journal.drafted([make_rollout()], 4)
    desk.journal.labels_stood({"labels/seq": 10.0}, {})
    assert desk.last_row["labels/redrawn"] == 7


def test_a_reward_that_was_served_before_is_known_to_be_there(desk: Desk) -> None:
    desk.journal.reward_served(make_reward(1))
    assert desk.journal.loop_state().has_reward


def test_a_refit_that_was_noted_and_not_served_is_recorded_as_it_is_served(folder: Path) -> None:
    desk = Desk(folder)
    desk.journal.refitted(make_reward(2))
    desk.recordings.close()
    desk = Desk(folder)
    desk.journal.resume([], num_unscored=0, ended_at=START)
    desk.journal.refitted(make_reward(2))
    assert [each["served_at"] is None for each in desk.recorded("rewards")] == [False, True]
    desk.journal.reward_served(make_reward(2))
    desk.journal.reward_served(make_reward(2))
    assert [each["version"] for each in desk.recorded("rewards")] == [1, 2, 2]
    assert desk.recorded("rewards")[-1]["served_at"] == desk.now
    assert desk.sink.rows == []  # its row was written before
    desk.recordings.close()


def test_what_was_dropped_stays_counted(desk: Desk) -> None:
    desk.step(make_batch(1, 1), num_dropped=2)
    assert desk.last_row["staleness/dropped"] == 5
