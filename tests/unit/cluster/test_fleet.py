"""Weights that are pushed: the learner and all actors come together, between two steps."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cluster.failure import first_cause
from cluster.loops.fleet import RolloutFleet
from cluster.starting.ranks import RankGroup
from cluster.starting.remote import RemoteLearner
from protocol.errors import ActorDied
from protocol.remote import Remote
from tests.support.collective import Collective, CollectiveActor, CollectiveRank, pushed_policy
from tests.support.messages import make_policy

pytestmark = pytest.mark.timeout(10)


class World:
    """A learner and two actors in one collective."""

    def __init__(self) -> None:
        self.collective = Collective(3)
        self.rank = CollectiveRank(self.collective)
        self.learner = RemoteLearner(RankGroup([Remote(self.rank, "the learner")], 60.0))
        self.actors = [CollectiveActor(self.collective, name) for name in ("ann", "bob")]
        self.fleet = RolloutFleet(self.actors, 4, self.learner)

    @property
    def log(self) -> list[str]:
        return self.collective.log

    def begin_step(self) -> asyncio.Task[Any]:
        step: Any = self.learner.step
        return asyncio.create_task(step("batch"))


async def settle() -> None:
    """Let every task go as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_the_learner_sends_while_all_actors_receive() -> None:
    world = World()
    assert await world.fleet.load_policy(pushed_policy(1)) == 1e-6
    assert [actor.version for actor in world.actors] == [1, 1]
    comings = {"learner comes with 1", "ann comes with 1", "bob comes with 1"}
    assert set(world.log[:3]) == comings


async def test_what_all_actors_have_is_not_sent() -> None:
    world = World()
    await world.fleet.load_policy(pushed_policy(0))  # the model they started with
    assert world.log == []
    await world.fleet.load_policy(pushed_policy(2))
    told = list(world.log)
    await world.fleet.load_policy(pushed_policy(2))
    assert world.log == told


async def test_no_actor_waits_for_a_learner_at_its_step() -> None:
    world = World()
    step = world.begin_step()
    await world.rank.stepping.wait()
    load = asyncio.create_task(world.fleet.load_policy(pushed_policy(1)))
    await settle()
    assert world.log == ["step begins"]
    world.rank.finish_step.set()
    await asyncio.gather(step, load)
    assert world.log[1] == "step ends"
    assert world.actors[0].version == 1


async def test_the_next_step_and_the_next_version_wait_for_the_push_under_way() -> None:
    world = World()
    world.rank.finish_step.set()
    late = world.actors[1]
    meet, late_may_come = world.collective.meet, asyncio.Event()

    async def meet_late(member: str, version: int) -> None:
        if member == "bob":
            await late_may_come.wait()
        await meet(member, version)

    world.collective.meet = meet_late  # type: ignore[method-assign]
    first = asyncio.create_task(world.fleet.load_policy(pushed_policy(1)))
    await settle()
    step = world.begin_step()
    await settle()
    second = asyncio.create_task(world.fleet.load_policy(pushed_policy(2)))
    await settle()
    assert set(world.log) == {"learner comes with 1", "ann comes with 1"}
    late_may_come.set()
    await asyncio.gather(first, step, second)
    assert late.version == 2
    last_of_first = max(index for index, line in enumerate(world.log) if line.endswith("has 1"))
    first_of_second = world.log.index("learner comes with 2")
    assert last_of_first < world.log.index("step begins") < first_of_second


async def test_an_actor_that_dies_does_not_hold_the_others() -> None:
    world = World()
    world.actors[1].failure = ActorDied("rollout actor bob died")
    with pytest.raises(ExceptionGroup) as failure:
        await world.fleet.load_policy(pushed_policy(1))
    assert str(first_cause(failure.value)).startswith("rollout actor bob died; where the learner")
    assert "learner comes with 1" in world.log


async def test_weights_that_are_pulled_need_no_learner() -> None:
    collective = Collective(1)
    actor = CollectiveActor(collective, "ann")
    await RolloutFleet([actor], 4).load_policy(make_policy(3))
    assert actor.version == 3
