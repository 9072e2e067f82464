"""A run that dies goes on from its newest checkpoint, and nothing is counted twice."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from cluster.controller import Controller
from cluster.starting.lost_work import remove_half_kept
from cluster.starting.resumption import free_number
from label_queue.folds.lineage import left_behind
from protocol.errors import ActorDied, NotFinite
from protocol.fault_points import Fault, FaultPlan, planned
from protocol.fits import RewardVersion
from protocol.messages import ExperienceBatch, PolicyVersion, StepReport
from tests.support.controller_world import BATCH, World, small_config
from tests.support.cord import release_shown
from tests.support.one_thread import settle
from tests.support.parts import FakeActor, FakeLearner
from tests.support.present import present
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


async def run_until_lost(world: World, point: str, at: int) -> None:
    """Run until a point is passed for that many times, and die there."""
    plan = FaultPlan(faults=(Fault(point=point, action="lose_answer", at=at),))
    with planned(plan), pytest.raises(ExceptionGroup) as raised:
        await start(world)
    assert raised.group_contains(ActorDied)


async def start(world: World) -> None:
    controller = world.controller()
    await controller.draw_reference()
    await controller.run()


async def resume(world: World, *actors: FakeActor) -> None:
    controller = await take_up(world, *actors)
    await controller.run()


async def take_up(world: World, *actors: FakeActor, **reward: Any) -> Controller:
    """Go on as `andon resume` does, with other actors and another learner.

    `reward` is what `Controller.resume` is told of it.
    """
    version = world.checkpoints.versions()[-1]
    announced = world.people.queue.state.policy_version
    kept = world.checkpoints.read(version)
    reference, drafts = world.labels.reference, world.labels.drafts
    await world.people.close()
    world.start_label_side(world.people.ledger)
    world.labels.drafts += drafts
    world.actors = list(actors) or [FakeActor(), FakeActor()]
    world.learner = FakeLearner(world.folder.path / "policy")
    remove_half_kept(world.folder, version)
    world.policy = await world.learner.resume(
        version, free_number(version, announced, world.folder.restorable())
    )
    world.resumed = kept
    controller = world.controller()
    await controller.resume(reference, **(reward or {"reward": world.trainer.last}))
    return controller


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


async def test_a_version_that_the_learner_alone_kept_is_made_anew(make_world: MakeWorld) -> None:
    world = make_world()
    await run_until_lost(world, "checkpoint.learner_kept", at=2)
    assert world.checkpoints.versions() == (0,)
    assert world.folder.restorable() == (0, 2)  # and nobody was told of version 2
    await resume(world)
    policies = [(each.version, each.restored_from) for each in world.people.policies]
    assert policies[:3] == [(0, None), (1, None), (2, 0)]
    assert world.people.policies[-1].episodes == 5 * BATCH
    assert not any(
        1 in each.rollout.policy_versions
        for batch in world.learner.batches
        for each in batch.rollouts
    )


async def test_a_rollback_takes_no_checkpoint_of_a_lost_line(make_world: MakeWorld) -> None:
    world = make_world()
    await run_until_lost(world, "checkpoint.learner_kept", at=2)
    controller = await take_up(world)  # as version 2, made of 0

    async def without_2() -> tuple[int, ...]:
        return (0, 1)

    world.learner.checkpoints = without_2  # type: ignore[method-assign]
    await world.people.queue.owner.order_rollback(2, "it was better then")
    running = asyncio.ensure_future(controller.run())
    await settle()
    assert world.learner.restored == [0]
    await release_shown(world.people.queue, "go on")
    await asyncio.wait_for(running, 5)


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


async def test_a_rollback_that_nobody_was_told_of_is_told_after_the_resume(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world()
    told, step, is_dying = world.labels.set_progress, world.learner.step, asyncio.Event()

    async def spoiled(batch: ExperienceBatch) -> StepReport:
        if batch.step == 3:
            raise NotFinite("the gradient norm is nan")
        return await step(batch)

    async def never_of_4(episodes: int, policy: PolicyVersion) -> None:
        if policy.version == 4:
            is_dying.set()
            await asyncio.Event().wait()
        await told(episodes, policy)

    world.learner.step = spoiled  # type: ignore[method-assign]
    monkeypatch.setattr(world.labels, "set_progress", never_of_4)
    running = asyncio.create_task(start(world))
    await is_dying.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert world.checkpoints.versions()[-1] == 4

    await take_up(world)
    made = [(each.version, each.restored_from) for each in world.people.policies]
    assert made == [(0, None), (1, None), (2, None), (3, None), (4, 2)]
    assert left_behind(world.people.policies) == {3}
    lines = (world.folder.path / "policies.jsonl").read_text().splitlines()
    recorded = [json.loads(line) for line in lines]
    assert [(each["version"], each["restored_from"]) for each in recorded][-1] == (4, 2)


class SlowLearner(FakeLearner):
    """Takes longer for a step than the next batch takes to be drawn and scored, as most do."""

    async def step(self, batch: ExperienceBatch) -> StepReport:
        for _ in range(400):
            await asyncio.sleep(0)
        return await super().step(batch)


async def test_no_step_is_trained_on_scores_that_a_sole_refit_replaced_before_the_death(
    make_world: MakeWorld,
) -> None:
    labels = {"rounds": 3, "validation_share": 0.1}
    world = make_world(config=small_config(labels=labels, mode="batched", episodes=6 * BATCH))
    world.learner = SlowLearner(world.folder.path / "policy")
    running = asyncio.create_task(start(world))
    while world.people.queue.state.reward_version < 2:
        await asyncio.sleep(0)
        assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    kept = world.checkpoints.read(world.checkpoints.versions()[-1])
    assert (kept.policy_version, kept.least_reward_version) == (2, 1)
    assert {scored.score.reward_version for _, scored in kept.bound.scored} == {1}

    await resume(world)
    assert [batch.reward_version for batch in world.learner.batches] == [2, 2, 3, 3]


async def run_until_fitted(world: World, number: int) -> list[RewardVersion]:
    """Run until a reward version is made, and die before any replica serves it; return it."""
    swap, is_asked = world.service.swap, asyncio.Event()

    async def never(version: RewardVersion) -> None:
        if version.version == number:
            is_asked.set()
            await asyncio.Event().wait()
        await swap(version)

    world.service.swap = never  # type: ignore[method-assign]
    running = asyncio.create_task(start(world))
    await asyncio.wait_for(is_asked.wait(), 10)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    world.service.swap = swap  # type: ignore[method-assign]
    return [present(world.trainer.last)]


async def test_a_reward_that_was_made_and_not_served_is_served_after_the_resume(
    make_world: MakeWorld,
) -> None:
    world = make_world()
    unserved = await run_until_fitted(world, 2)
    controller = await take_up(world, reward=world.people.rewards[-1], unserved=unserved)
    assert world.service.served == [1, 2]
    await asyncio.wait_for(controller.run(), 10)
    assert [each.version for each in world.people.rewards] == world.service.served
    assert len(world.trainer.requests) == len(world.service.served)


async def test_a_reward_that_was_made_and_is_refused_after_the_resume_is_fitted_anew(
    make_world: MakeWorld,
) -> None:
    world = make_world()
    unserved = await run_until_fitted(world, 2)
    world.trainer.withdrawn = world.service.withdrawn
    world.service.withdrawn[2] = NotFinite("it scores NaN")  # as a replica would have it
    controller = await take_up(world, reward=world.people.rewards[-1], unserved=unserved)
    assert world.service.version == 1
    cord = await world.labels.cord()
    assert "a reward refit met NaN or infinity, the version before it stays live" in cord.reason
    running = asyncio.ensure_future(controller.run())
    await settle()
    await release_shown(world.people.queue, "looked into")
    await asyncio.wait_for(running, 10)
    assert world.progress[-1] == 5 * BATCH
    served = [each.version for each in world.people.rewards]
    assert served[:2] == [1, 3]
    assert served == world.service.served


async def test_a_refit_goes_with_the_update_of_it_that_is_refused_after_the_resume(
    make_world: MakeWorld,
) -> None:
    world = make_world()
    (refit,) = await run_until_fitted(world, 2)
    update = replace(refit, version=3, kind="warm")
    reward = world.people.rewards[-1]
    world.service.withdrawn[3] = NotFinite("it scores NaN")
    await take_up(world, reward=reward, unserved=[refit, update])
    assert sorted(world.service.withdrawn) == [2, 3]
    assert [each.version for each in world.people.rewards] == [1]
    world.service.withdrawn.clear()
    await take_up(world, reward=reward, unserved=[refit, update])
    assert [each.version for each in world.people.rewards] == [1, 2, 3]
    assert world.service.served == [1, 3]


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
