"""Stopping the line: at the cord, by a rollback, and while a reward is taken back."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from cluster.controller import Controller
from cluster.guards.config import GuardsConfig
from cluster.guards.kl_runaway import KLRunawayConfig
from protocol.fits import RewardVersion
from protocol.messages import ExperienceBatch, StepReport
from tests.support.controller_world import BATCH, ONE_REFIT, World, small_config
from tests.support.cord import release_shown
from tests.support.one_thread import settle
from tests.unit.cluster.conftest import MakeWorld

pytestmark = pytest.mark.timeout(60)


async def test_a_pulled_cord_stops_the_learner_alone_until_it_is_released(world: World) -> None:
    await world.labels.pull_cord("ann", "it swears")
    running = asyncio.ensure_future(world.controller().run())
    await settle()

    assert world.learner.batches == []
    # Two versions' worth of rollouts, queries and a fit were made meanwhile, and are kept.
    num_train = sum(r.purpose == "train" for actor in world.actors for r in actor.requests)
    assert num_train == 2 * BATCH
    assert len(world.people.queries) == len(world.people.ledger.events()) == 10 + 4
    assert [version.version for version in world.people.rewards] == [1]

    await release_shown(world.people.queue, "mended")
    await asyncio.wait_for(running, 5)
    assert [batch.step for batch in world.learner.batches] == [0, 1, 2, 3, 4]


async def test_a_cord_pulled_during_a_step_holds_back_the_next(world: World) -> None:
    step = world.learner.step

    async def second_is_pulled_in(batch: ExperienceBatch) -> StepReport:
        if batch.step == 1:
            await world.labels.pull_cord("ann", "it swears")
        return await step(batch)

    world.learner.step = second_is_pulled_in  # type: ignore[method-assign]
    running = asyncio.ensure_future(world.controller().run())
    await settle()
    assert world.progress == [8, 16]
    await release_shown(world.people.queue, "mended")
    await asyncio.wait_for(running, 5)
    assert len(world.learner.batches) == 5


async def test_a_run_can_be_stopped_while_the_cord_is_pulled(world: World) -> None:
    await world.labels.pull_cord("ann", "it swears")
    controller = world.controller()
    running = asyncio.ensure_future(controller.run())
    await settle()
    controller.stop()
    await asyncio.wait_for(running, 5)
    assert world.learner.batches == []


async def roll_back_after(
    world: World, num_steps: int, to_version: int, controller: Controller | None = None
) -> asyncio.Future[None]:
    """Run with the cord pulled in a step, and a rollback ordered then; the cord stays pulled."""
    step = world.learner.step

    async def pulled(batch: ExperienceBatch) -> StepReport:
        if batch.step == num_steps - 1:
            await world.labels.pull_cord("ann", "it swears")
        return await step(batch)

    world.learner.step = pulled  # type: ignore[method-assign]
    running = asyncio.ensure_future((controller or world.controller()).run())
    await settle()
    assert len(world.learner.batches) == num_steps
    assert {actor.version for actor in world.actors} == {num_steps}
    await world.people.queue.owner.order_rollback(to_version, "it was better then")
    await settle()
    assert len(world.learner.batches) == num_steps
    return running


async def test_a_rollback_makes_a_new_version_and_forgets_what_came_after(world: World) -> None:
    running = await roll_back_after(world, num_steps=3, to_version=2)

    policy = world.people.policies[-1]
    assert (policy.version, policy.restored_from, policy.episodes) == (4, 2, 3 * BATCH)
    cord = await world.labels.cord()
    assert (cord.is_pulled, cord.rollback_to) == (True, None)
    assert {actor.version for actor in world.actors} == {4}
    assert [title for title, _ in world.sink.alerts] == ["the policy was rolled back"]

    await release_shown(world.people.queue, "it is better again")
    await asyncio.wait_for(running, 5)
    after = world.learner.batches[3:]
    assert [batch.step for batch in after] == [4, 5]
    assert [batch.episodes_before for batch in after] == [3 * BATCH, 4 * BATCH]
    written_by = {v for b in after for s in b.rollouts for v in s.rollout.policy_versions}
    assert 3 not in written_by
    lags = {b.step - s.rollout.oldest_version for b in after for s in b.rollouts}
    assert max(lags) <= 1
    # What waited at the cord is too old for version 4, and what came of version 3 is left behind.
    assert world.num_dropped == 2 * BATCH


async def test_guards_forget_what_a_rollback_leaves_behind_and_so_does_its_checkpoint(
    make_world: MakeWorld,
) -> None:
    """Three steps are above the limit of the KL, of the four in a row that trip it; then two."""
    four = GuardsConfig(kl_runaway=KLRunawayConfig(num_steps=4))
    world = make_world(config=small_config().model_copy(update={"guards": four}))
    step = world.learner.step

    async def far_off(batch: ExperienceBatch) -> StepReport:
        return replace(await step(batch), metrics={"kl/reference_mean": 20.0})

    world.learner.step = far_off  # type: ignore[method-assign]
    running = await roll_back_after(world, num_steps=3, to_version=2)
    assert world.checkpoints.read(4).guards.kl_runaway.num_above == 0
    await release_shown(world.people.queue, "it is better again")
    await asyncio.wait_for(running, 5)
    assert len(world.learner.batches) == 5
    assert world.evidence() == []


async def test_rewards_are_not_compared_on_what_versions_left_behind_have_written(
    world: World,
) -> None:
    controller = world.controller()
    running = await roll_back_after(world, num_steps=3, to_version=2, controller=controller)
    guard = controller._reward_guard
    assert guard._recent
    assert all(3 not in each.rollout.policy_versions for each in guard._recent)
    await release_shown(world.people.queue, "it is better again")
    await asyncio.wait_for(running, 5)
    assert all(3 not in each.rollout.policy_versions for each in guard._recent)


async def test_a_version_that_was_not_kept_gives_way_to_the_one_before_it(world: World) -> None:
    running = await roll_back_after(world, num_steps=4, to_version=1)
    assert world.learner.restored == [0]
    await release_shown(world.people.queue, "it is better again")
    await asyncio.wait_for(running, 5)
    assert len(world.learner.batches) == 5


async def run_on_labels_of_two(world: World) -> asyncio.Future[None]:
    """Pull the cord and run until a reward that ann and bob labelled for is served."""
    await world.labels.pull_cord("ann", "bob only clicks")
    running = asyncio.ensure_future(world.controller().run())
    await world.people.label(2, "bob")
    world.people.keep_labeling("ann")
    await settle()
    assert [version.version for version in world.people.rewards] == [1]
    return running


async def test_what_the_reward_taken_back_has_scored_is_scored_again(
    make_world: MakeWorld,
) -> None:
    world = make_world(config=small_config(labels=ONE_REFIT), labelers=())
    world.service.value = lambda version, sequence: version + sum(sequence) / 100
    running = await run_on_labels_of_two(world)
    await world.people.queue.owner.exclude("bob", 0, "he only clicks")
    await settle()
    assert [version.version for version in world.people.rewards] == [1, 2]
    assert {c.labeler_id for c in world.trainer.requests[1].comparisons} == {"ann"}
    assert world.learner.batches == []

    await release_shown(world.people.queue, "bob is gone")
    # All sequences here are alike, so the rewards cannot be compared, and the guard pulled too.
    await release_shown(world.people.queue, "they are alike")
    await asyncio.wait_for(running, 5)
    assert {batch.reward_version for batch in world.learner.batches} == {2}
    assert len(world.learner.batches) == 5


async def test_no_step_is_taken_on_a_condemned_reward_when_the_cord_is_released_mid_swap(
    make_world: MakeWorld,
) -> None:
    """The learner stands at the cord; a forced refit begins its swap; the owner lets go."""
    world = make_world(config=small_config(labels=ONE_REFIT), labelers=())
    may_swap = asyncio.Event()
    swap = world.service.swap

    async def second_takes_its_time(version: RewardVersion) -> None:
        if version.version == 2:
            await may_swap.wait()
        await swap(version)

    world.service.swap = second_takes_its_time  # type: ignore[method-assign]
    running = await run_on_labels_of_two(world)
    await world.people.queue.owner.exclude("bob", 0, "he only clicks")
    await settle()
    await release_shown(world.people.queue, "bob is gone")
    await settle()
    assert len(world.trainer.requests) == 2
    assert world.learner.batches == []

    # All sequences here are alike, so the rewards cannot be compared, and the guard pulls too.
    may_swap.set()
    await settle()
    assert world.learner.batches == []
    assert (await world.labels.cord()).pulled_by == "guard"
    await release_shown(world.people.queue, "they are alike")
    await asyncio.wait_for(running, 5)
    assert {batch.reward_version for batch in world.learner.batches} == {2}
    assert len(world.learner.batches) == 5
