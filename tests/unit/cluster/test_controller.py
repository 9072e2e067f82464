"""The loops as a whole: every episode trained once, nothing too stale, and how a run ends."""

from __future__ import annotations

import asyncio

import pytest

from cluster.controller import Controller
from protocol.errors import LoopEnded
from protocol.messages import ExperienceBatch, PolicyVersion, StepReport
from tests.support.controller_world import BATCH, World, small_config
from tests.support.one_thread import settle
from tests.support.parts import FakeActor
from tests.unit.cluster.conftest import MakeWorld

pytestmark = pytest.mark.timeout(60)


async def test_trains_every_episode_once_and_ends(world: World) -> None:
    await world.controller().run()

    assert [batch.step for batch in world.learner.batches] == [0, 1, 2, 3, 4]
    trained = [s.rollout.rollout_id for b in world.learner.batches for s in b.rollouts]
    assert len(trained) == len(set(trained)) == 5 * BATCH
    assert world.progress == [8, 16, 24, 32, 40]


async def test_no_step_is_ahead_of_the_labels(make_world: MakeWorld) -> None:
    world = make_world(labelers=())
    running = asyncio.ensure_future(world.controller().run())
    # l(n) = 10 + 30·(1 − (1 − n/40)²) at n = 0, 8, 16, 24, 32: so many before each step.
    wanted = [10, 20, 29, 35, 38]
    for num_steps, labels in enumerate(wanted):
        missing = labels - len(world.people.ledger.events())
        await world.people.label(missing - 1)
        await settle()
        assert len(world.learner.batches) == num_steps
        await world.people.label(1)
        await settle()
        assert len(world.learner.batches) == num_steps + 1
    await asyncio.wait_for(running, 5)


async def test_nothing_older_than_the_bound_is_trained_on(world: World) -> None:
    await world.controller().run()

    lags = [
        batch.step - scored.rollout.oldest_version
        for batch in world.learner.batches
        for scored in batch.rollouts
    ]
    assert max(lags) <= 1


async def test_an_actor_that_never_takes_weights_starves_the_learner_but_never_breaks_the_bound(
    make_world: MakeWorld,
) -> None:
    class Stuck(FakeActor):
        async def load_policy(self, policy: PolicyVersion) -> float:
            await asyncio.Event().wait()
            raise AssertionError

    world = make_world(Stuck())
    running = asyncio.ensure_future(world.controller().run())
    await settle()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    # With η = 1, version 0 may train steps 0 and 1, and nothing after.
    assert [batch.step for batch in world.learner.batches] == [0, 1]


async def test_a_loop_that_ends_early_is_an_error(world: World) -> None:
    controller = world.controller()

    async def ends() -> None:
        return None

    controller.queries = ends  # type: ignore[method-assign]
    with pytest.raises(ExceptionGroup) as caught:
        await controller.run()
    assert caught.group_contains(LoopEnded, match="ends loop ended before the run was over")


async def test_a_failure_in_one_loop_stops_the_others_and_is_told(world: World) -> None:
    async def broken(_: object) -> None:
        raise FloatingPointError("loss is NaN")

    world.learner.step = broken  # type: ignore[method-assign, assignment]
    with pytest.raises(ExceptionGroup) as caught:
        await world.controller().run()
    assert caught.group_contains(FloatingPointError, match="loss is NaN")


def stop_in_step(controller: Controller, world: World, number: int) -> asyncio.Event:
    """Have the run told to stop within a step; return what is set then."""
    begun = asyncio.Event()
    step = world.learner.step

    async def stopping(batch: ExperienceBatch) -> StepReport:
        if batch.step == number:
            controller.stop()
            begun.set()
        return await step(batch)

    world.learner.step = stopping  # type: ignore[method-assign]
    return begun


async def test_stop_ends_the_run_once_the_step_under_way_is_done_and_told(
    make_world: MakeWorld,
) -> None:
    world = make_world(config=small_config(episodes=10_000 * BATCH))
    controller = world.controller()
    begun = stop_in_step(controller, world, 2)
    running = asyncio.ensure_future(controller.run())
    await asyncio.wait_for(begun.wait(), 5)
    await asyncio.wait_for(running, 5)

    assert [batch.step for batch in world.learner.batches] == [0, 1, 2]
    assert world.progress == [8, 16, 24]
    assert world.last("policy/version") == 3
