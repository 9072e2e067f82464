"""A run that dies goes on from its newest checkpoint, and nothing is counted twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest

from protocol.messages import ExperienceBatch
from tests.support.controller_world import BATCH, World, small_config
from tests.support.parts import FakeActor, FakeLearner
from tests.unit.cluster.conftest import MakeWorld


async def run_until(world: World, version: int) -> None:
    """Run until the learner has made a version, and die there."""
    running = asyncio.create_task(start(world))
    while world.learner.newest < version:
        await asyncio.sleep(0)
        if running.done():
            await running
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def start(world: World) -> None:
    controller = world.controller()
    await controller.draw_reference()
    await controller.run()


async def resume(world: World, *actors: FakeActor) -> None:
    """Go on as `andon resume` does, with other actors and another learner."""
    version = world.checkpoints.versions()[-1]
    announced = world.people.queue.state.policy_version
    kept = world.checkpoints.read(version)
    reference, drafts = world.labels.reference, world.labels.drafts
    await world.people.close()
    world.start_label_side(world.people.ledger)
    world.labels.drafts += drafts
    world.actors = list(actors) or [FakeActor(), FakeActor()]
    world.learner = FakeLearner(world.folder.path / "policy")
    world.policy = await world.learner.resume(
        version, version if announced <= version else announced + 1
    )
    world.resumed = kept
    controller = world.controller()
    await controller.resume(reference, world.trainer.last)
    await controller.run()


def prompts_of(batches: Sequence[ExperienceBatch]) -> Counter[str]:
    return Counter(
        scored.rollout.prompt.prompt_id for batch in batches for scored in batch.rollouts
    )


@pytest.mark.parametrize("lag", [0, 1, 3])
@pytest.mark.parametrize("died_at", [1, 2, 3, 4])
async def test_every_step_is_taken_once_on_prompts_that_were_not_trained_on(
    make_world: MakeWorld, died_at: int, lag: int
) -> None:
    world = make_world(config=small_config(max_policy_lag=lag))
    await run_until(world, died_at)
    first = world.learner.batches
    await resume(world)

    kept = world.resumed
    assert kept is not None
    assert kept.policy_version <= died_at
    counted = [*first[: kept.policy_version], *world.learner.batches]
    assert sum(len(batch.rollouts) for batch in counted) == 5 * BATCH
    assert max(prompts_of(counted).values()) == 1
    for batch in world.learner.batches:
        assert all(batch.step - each.rollout.oldest_version <= lag for each in batch.rollouts)


@pytest.mark.parametrize("died_at", [1, 2, 3, 4])
async def test_no_version_is_announced_twice(make_world: MakeWorld, died_at: int) -> None:
    world = make_world()
    await run_until(world, died_at)
    before = [policy.version for policy in world.people.policies]
    await resume(world)
    versions = [policy.version for policy in world.people.policies]
    assert versions[: len(before)] == before
    assert versions == sorted(set(versions))
    assert world.people.policies[-1].episodes == 5 * BATCH


async def test_with_lag_0_the_prompts_are_those_of_a_run_that_did_not_die(
    make_world: MakeWorld,
) -> None:
    world = make_world(config=small_config(max_policy_lag=0))
    await run_until(world, 2)
    first = world.learner.batches
    await resume(world)
    assert world.resumed is not None
    counted = [*first[: world.resumed.policy_version], *world.learner.batches]
    trained = [each.rollout.prompt.prompt_id for batch in counted for each in batch.rollouts]
    assert trained == [f"p-{number}" for number in range(5 * BATCH)]


async def test_questions_after_a_resume_have_names_of_their_own(make_world: MakeWorld) -> None:
    world = make_world()
    await run_until(world, 3)
    await resume(world)
    asked = [
        rollout.rollout_id
        for draft in world.labels.drafts
        for rollout in draft.rollouts
        if rollout.purpose == "query"
    ]
    assert len(asked) == len(set(asked))
    assert any(name.startswith("q1-") for name in asked)
