"""The controller in rounds, and against a reward that is given: only the label side differs."""

from __future__ import annotations

import pytest

from label_queue.schedule import LabelSchedule
from tests.support.controller_world import BATCH, small_config
from tests.unit.cluster.conftest import MakeWorld

pytestmark = pytest.mark.timeout(60)

ROUNDS = {"rounds": 3, "validation_share": 0.1}


async def test_a_round_asks_one_policy_fits_once_and_trains_on_that_reward_alone(
    make_world: MakeWorld,
) -> None:
    world = make_world(config=small_config(labels=ROUNDS, mode="batched", episodes=6 * BATCH))

    await world.controller().run()

    schedule = LabelSchedule.of(world.config.labels, num_episodes=6 * BATCH, mode="batched")
    assert schedule.refit_points == (10, 25, 40)
    # Rounds begin with steps 0, 2 and 4.
    asked = [
        {c.policy_version for c in query.candidates if c.policy_version}
        for query in world.people.queries
    ]
    assert asked == [set()] * 10 + [{2}] * 15 + [{4}] * 15
    assert [request.labels_used for request in world.trainer.requests] == [10, 25, 40]
    assert {request.kind for request in world.trainer.requests} == {"refit"}
    assert [batch.reward_version for batch in world.learner.batches] == [1, 1, 2, 2, 3, 3]
    for batch in world.learner.batches:
        assert {each.score.reward_version for each in batch.rollouts} == {batch.reward_version}


async def test_online_is_what_the_modes_differ_from(make_world: MakeWorld) -> None:
    world = make_world(config=small_config(episodes=6 * BATCH))

    await world.controller().run()

    asked = {c.policy_version for query in world.people.queries for c in query.candidates}
    assert len(asked) > 3
