from __future__ import annotations

import math

import pytest

from label_queue.config import LabelsConfig
from label_queue.schedule import LabelSchedule

SCHEDULE = LabelSchedule(total=1_024, initial=256, num_episodes=7_680, refits=20)


@pytest.mark.parametrize(
    ("episodes", "wanted"),
    [
        (0, 256),
        (768, 401),  # 256 + 768·(1 − 0.9²) = 256 + 145.92
        (1_920, 592),  # 256 + 768·(1 − 0.75²) = 256 + 336
        (3_840, 832),  # 256 + 768·(1 − 0.5²) = 256 + 576
        (7_680, 1_024),
        (9_999, 1_024),
    ],
)
def test_quadratic_schedule_of_ziegler(episodes: int, wanted: int) -> None:
    assert SCHEDULE.wanted(episodes) == wanted


def test_hyperbolic_schedule_is_the_integral_of_christianos_rate() -> None:
    schedule = LabelSchedule(
        total=1_000,
        initial=250,
        num_episodes=3_000,
        refits=4,
        shape="hyperbolic",
        hyperbolic_episodes=1_000,
    )
    assert schedule.wanted(0) == 250
    # 250 + 750·log 2 / log 4 = 250 + 375
    assert schedule.wanted(1_000) == 625
    assert schedule.wanted(3_000) == 1_000


def test_refits_come_first_before_rl_then_evenly_and_never_at_the_end() -> None:
    points = SCHEDULE.refit_points
    assert len(points) == 20
    assert points[:3] == (256, 295, 333)  # every 38.4 labels, rounded up
    assert points[-1] == 256 + math.ceil(19 * 38.4) == 986


def test_offline_wants_all_labels_before_rl_and_refits_once() -> None:
    schedule = LabelSchedule.of(LabelsConfig(), num_episodes=7_680, mode="offline")
    assert [schedule.wanted(n) for n in (0, 100, 7_680)] == [1_024] * 3
    assert schedule.refit_points == (1_024,)
    assert schedule.interval == 0


def test_online_schedule_takes_its_numbers_from_the_config() -> None:
    assert LabelSchedule.of(LabelsConfig(), num_episodes=7_680, mode="online") == SCHEDULE


def test_rounds_want_their_labels_at_once_and_refit_at_each_end() -> None:
    config = LabelsConfig(total=100, initial=40, rounds=4, ahead=1, refits=1)
    schedule = LabelSchedule.of(config, num_episodes=10, mode="batched")
    # Rounds begin at 0, 2.5, 5 and 7.5 episodes; the last three share 60 labels.
    wanted = [schedule.wanted(n) for n in range(12)]
    assert wanted == [40, 40, 40, 60, 60, 80, 80, 80, 100, 100, 100, 100]
    assert [schedule.first_episode(number) for number in range(4)] == [0, 3, 5, 8]
    assert schedule.refit_points == (40, 60, 80, 100)
    assert schedule.interval == 20
    assert not schedule.updates_warmly


def test_a_fixed_reward_wants_no_label_and_is_given_out_once() -> None:
    schedule = LabelSchedule.of(LabelsConfig(), num_episodes=7_680, mode="fixed")
    assert [schedule.wanted(n) for n in (0, 100, 7_680)] == [0] * 3
    assert schedule.refit_points == (0,)
    assert not schedule.updates_warmly
