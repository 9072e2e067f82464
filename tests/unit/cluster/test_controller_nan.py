"""NaN from a part stops the line, and the run goes on from the last good state once released."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from cluster.config_file import parse_config
from protocol.errors import NotFinite
from protocol.fits import FitRequest, RewardVersion
from protocol.messages import ExperienceBatch, Score, StepReport
from tests.support.controller_world import BATCH, World, small_config
from tests.support.cord import release_shown
from tests.support.one_thread import settle
from tests.unit.cluster.conftest import MakeWorld

pytestmark = pytest.mark.timeout(60)


async def open_guards(world: World) -> list[str]:
    return [each.guard for each in (await world.labels.cord()).reasons]


def nan_in_step(world: World, number: int) -> None:
    """Let the learner meet NaN once, in the step on that version."""
    step, is_done = world.learner.step, False

    async def spoiled(batch: ExperienceBatch) -> StepReport:
        nonlocal is_done
        if batch.step == number and not is_done:
            is_done = True
            raise NotFinite("the gradient norm is nan")
        return await step(batch)

    world.learner.step = spoiled  # type: ignore[method-assign]


async def test_nan_in_a_step_stops_the_line_and_goes_on_from_the_last_checkpoint(
    world: World,
) -> None:
    nan_in_step(world, 3)
    running = asyncio.ensure_future(world.controller().run())
    await settle()

    assert [batch.step for batch in world.learner.batches] == [0, 1, 2]
    assert await open_guards(world) == ["not_finite"]
    # The newest checkpoint is of version 2; the batch is gone, and is no episode.
    assert world.learner.restored == [2]
    policy = world.people.policies[-1]
    assert (policy.version, policy.restored_from, policy.episodes) == (4, 2, 3 * BATCH)
    assert {actor.version for actor in world.actors} == {4}
    [kept] = world.evidence()
    assert (
        "step on policy version 3 met NaN or infinity: the gradient norm is nan" in kept["reason"]
    )
    assert len(kept["samples"]) == BATCH

    await release_shown(world.people.queue, "the batch was odd")
    await asyncio.wait_for(running, 5)
    assert [batch.step for batch in world.learner.batches] == [0, 1, 2, 4, 5]
    assert world.progress[-1] == 5 * BATCH
    written_by = {
        version
        for batch in world.learner.batches[3:]
        for each in batch.rollouts
        for version in each.rollout.policy_versions
    }
    assert 3 not in written_by


async def test_a_rollback_ordered_at_that_cord_is_done_as_any_other(world: World) -> None:
    nan_in_step(world, 3)
    running = asyncio.ensure_future(world.controller().run())
    await settle()
    await world.people.queue.owner.order_rollback(1, "it was better then")
    await settle()
    assert world.learner.restored == [2, 0]
    assert (await world.labels.cord()).rollback_to is None
    await release_shown(world.people.queue, "go on")
    await asyncio.wait_for(running, 5)
    assert world.progress[-1] == 5 * BATCH


async def test_where_the_guard_is_off_nan_in_a_step_ends_the_run(make_world: MakeWorld) -> None:
    content = small_config().model_dump(mode="json", exclude_none=True)
    content["guards"]["not_finite"] = {"is_on": False}
    world = make_world(config=parse_config(content, "test"))
    nan_in_step(world, 3)
    with pytest.raises(ExceptionGroup) as raised:
        await asyncio.wait_for(world.controller().run(), 5)
    assert raised.group_contains(NotFinite)


async def test_nan_in_a_fit_keeps_the_reward_version_before_it_and_the_fit_is_done_later(
    world: World,
) -> None:
    fit = world.trainer.fit
    failed: list[FitRequest] = []

    async def second_is_nan(request: FitRequest) -> RewardVersion:
        if world.people.rewards and not failed:
            failed.append(request)
            raise NotFinite("the loss on rank 0 is nan")
        return await fit(request)

    world.trainer.fit = second_is_nan  # type: ignore[method-assign]
    running = asyncio.ensure_future(world.controller().run())
    await settle()
    assert await open_guards(world) == ["not_finite"]
    assert world.service.version == 1
    assert len(failed) == 1
    stopped_at = len(world.learner.batches)
    await settle()
    assert len(world.learner.batches) == stopped_at

    await release_shown(world.people.queue, "looked into")
    await asyncio.wait_for(running, 5)
    assert world.trainer.requests[1] == failed[0]
    assert world.service.version > 1
    assert len(world.learner.batches) == 5


async def test_nan_from_the_service_drops_the_responses_and_stops_the_line(world: World) -> None:
    score, num_nan = world.service.score, 0

    async def once_nan(sequences: Sequence[Sequence[int]]) -> list[Score]:
        nonlocal num_nan
        if len(world.learner.batches) == 2 and not num_nan:
            num_nan = len(sequences)
            raise NotFinite("reward version 1 scores sequence 0 as NaN")
        return await score(sequences)

    world.service.score = once_nan  # type: ignore[method-assign]
    running = asyncio.ensure_future(world.controller().run())
    await settle()
    assert num_nan
    assert await open_guards(world) == ["not_finite"]
    stopped_at = len(world.learner.batches)
    await release_shown(world.people.queue, "one odd response")
    await asyncio.wait_for(running, 5)
    assert stopped_at < len(world.learner.batches) == 5
    assert world.num_dropped == num_nan
