"""The queueing model against cases that can be worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.scale_model.model import ScaleModel
from benchmarks.scale_model.services import Sizes, Times

SIZES = Sizes(
    actors=1,
    ranks=1,
    replicas=1,
    labelers=1,
    batch=16,
    max_policy_lag=1,
    requests_per_call=4,
    episodes=640,
    labels=40,
    initial_labels=10,
    ahead=40,
    refits=1,
    update_every=4,
)
QUICK = Times(
    response_s=1e-6,
    score_s=1e-6,
    episode_s=1e-6,
    meeting_s=0.0,
    load_s=1e-6,
    update_s=1e-6,
    refit_s_per_label=1e-6,
    label_s=1e-6,
    controller_s=1e-6,
)


@pytest.mark.parametrize(
    ("part", "seconds"),
    [("episode_s", 0.25), ("response_s", 0.5), ("score_s", 0.5), ("controller_s", 0.5)],
)
def test_the_slowest_part_sets_the_pace(part: str, seconds: float) -> None:
    found = ScaleModel(SIZES, replace(QUICK, **{part: seconds})).run()
    assert found.episodes_per_s == pytest.approx(1 / seconds, rel=0.05)


def test_twice_the_slowest_part_is_twice_as_quick() -> None:
    sampling = replace(QUICK, response_s=0.5)
    assert ScaleModel(replace(SIZES, actors=2), sampling).run().episodes_per_s == pytest.approx(
        4.0, rel=0.05
    )
    training = replace(QUICK, episode_s=0.5)
    found = ScaleModel(replace(SIZES, ranks=2), training).run()
    assert found.episodes_per_s == pytest.approx(4.0, rel=0.05)
    assert found.learner_idle == pytest.approx(0.0, abs=0.05)
    assert found.actor_idle == pytest.approx(1.0, abs=0.05)


def test_without_lag_sampling_and_training_take_turns() -> None:
    times = replace(QUICK, response_s=0.25, episode_s=0.25)
    found = ScaleModel(replace(SIZES, max_policy_lag=0), times).run()
    assert found.episodes_per_s == pytest.approx(2.0, rel=0.05)
    assert found.learner_idle == pytest.approx(0.5, abs=0.05)


def test_labels_wait_for_updates_and_coverage_tells() -> None:
    slow = replace(QUICK, episode_s=0.1, label_s=1.0, update_s=3.0)
    found = ScaleModel(SIZES, slow).run()
    assert 0.5 < found.coverage < 1.0
    assert 3.0 < found.latency_p50_s < 15.0
