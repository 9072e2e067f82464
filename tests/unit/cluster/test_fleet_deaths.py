"""Actors that die: their work goes to others, and waits where there are none."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from cluster.loops.turns import Turns
from protocol.errors import EngineDied, ProbeMismatch
from protocol.messages import Rollout
from tests.support.messages import PROBE, make_policy, make_request
from tests.support.mortal_fleet import World, settle, until
from tests.support.parts import PROBE_DIFFERENCE

pytestmark = pytest.mark.timeout(10)


def ids(rollouts: Sequence[Rollout]) -> list[str]:
    return [each.rollout_id for each in rollouts]


async def test_what_a_dead_actor_was_drawing_is_drawn_by_the_others() -> None:
    world = World()
    world.may_start.clear()
    world.hold()
    drawing = world.drawing(8)
    await settle()
    lost = {request.rollout_id for request in world.actors[0].requests}
    assert len(lost) == 4
    world.actors[0].die(EngineDied("the vLLM engine core died"))
    await settle()
    assert not drawing.done()
    world.actors[1].may_answer.set()
    rollouts = await drawing
    assert ids(rollouts) == [make_request(number).rollout_id for number in range(8)]
    assert world.actors[0].served == []
    assert len(world.actors[1].served) == 8
    again = {each.rollout_id: each for each in world.actors[1].requests}
    first = {each.rollout_id: each for each in world.actors[0].requests}
    assert all(again[rollout_id] is first[rollout_id] for rollout_id in lost)
    await world.fleet.close()


async def test_many_calls_that_fail_of_one_death_make_one_replacement() -> None:
    world = World()
    world.hold()
    drawing = world.drawing(20)
    await settle()
    world.actors[0].die()
    world.actors[1].may_answer.set()
    await drawing
    await until(lambda: world.started)
    await settle()
    assert [index for index, _ in world.started] == [0]
    assert world.told == [("rollout actor rollout-0", "ActorDied")]


async def test_with_all_actors_dead_work_and_weights_wait_for_the_first_that_returns() -> None:
    world = World()
    await world.fleet.load_policy(make_policy(1))
    world.may_start.clear()
    for actor in world.actors:
        actor.die()
    drawing = world.drawing(6)
    loading = asyncio.create_task(world.fleet.load_policy(make_policy(2)))
    waiting = asyncio.create_task(world.fleet.wait_for_version(2))
    await asyncio.sleep(0.05)
    assert not drawing.done()
    assert not loading.done()
    assert not waiting.done()
    world.may_start.set()
    assert await loading == PROBE_DIFFERENCE
    await waiting
    assert len(ids(await drawing)) == 6
    assert all(actor.loaded == [2] for _, actor in world.started)
    served = [rollout_id for _, actor in world.started for rollout_id, _ in actor.served]
    assert sorted(served) == [make_request(number).rollout_id for number in range(6)]


async def test_a_death_while_weights_are_loaded_leaves_the_others_result() -> None:
    world = World()
    world.may_start.clear()
    world.actors[1].fails_to_load = [EngineDied("the vLLM engine core died")]
    assert await world.fleet.load_policy(make_policy(1)) == PROBE_DIFFERENCE
    await world.fleet.wait_for_version(1)
    assert world.actors[0].loaded == [1]
    world.may_start.set()
    await until(lambda: world.started and world.started[0][1].loaded)
    assert world.started[0][0] == 1
    assert world.started[0][1].loaded == [1]


async def test_a_mismatch_of_a_live_actor_is_no_death() -> None:
    world = World()
    wrong = replace(make_policy(1), probe=replace(PROBE, logprobs=(-9.0,)))
    with pytest.raises(ProbeMismatch):
        await world.fleet.load_policy(wrong)
    assert not world.told


async def test_an_actor_that_gives_no_answer_is_taken_for_dead() -> None:
    world = World(1, timeout_s=0.05)
    world.actors[0].hangs = True
    assert len(await world.drawing(2)) == 2
    assert world.told == [("rollout actor rollout-0", "ActorDied")]
    assert world.actors[0].served == []
    assert len(world.started[0][1].served) == 2


class Silent:
    """The other part of a device; it has nothing to move."""

    async def rest(self) -> None:
        """Move nothing."""

    async def wake(self) -> None:
        """Move nothing."""


async def test_an_actor_that_dies_at_rest_is_replaced_in_its_turn_and_rests_with_the_others() -> (
    None
):
    turns = Turns()
    world = World(turns=turns)
    learner = turns.join(Silent())
    await world.fleet.load_policy(make_policy(1))
    async with learner:
        world.actors[0].die(EngineDied("the vLLM engine core died"))
        loading = asyncio.create_task(world.fleet.load_policy(make_policy(2)))
        await settle()
        assert not loading.done()
        assert world.started == []
    assert await loading == PROBE_DIFFERENCE
    await until(lambda: world.started)
    await settle()
    [(index, replacement)] = world.started
    assert (index, replacement.loaded) == (0, [2])
    async with learner:
        assert not replacement._is_awake.is_set()
        assert not world.actors[1]._is_awake.is_set()
        drawing = world.drawing(4)
        await settle()
        assert not drawing.done()
    assert len(await drawing) == 4
    await world.fleet.close()


async def test_an_actor_that_will_not_rest_is_ended_before_the_learner_goes_to_work() -> None:
    turns = Turns()
    world = World(turns=turns, timeout_s=0.05)
    learner = turns.join(Silent())
    await world.fleet.load_policy(make_policy(1))
    world.actors[0].hangs = True
    async with learner:
        assert world.ended == [0]
        await settle()
        assert world.started == []  # there is no room for another yet
    assert len(await world.drawing(4)) == 4
    await until(lambda: world.started)
    await world.fleet.close()
