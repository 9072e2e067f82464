"""Who takes a dead actor's place: what it proves before it works, and what ends the run instead."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from cluster.loops.fleet import RolloutFleet
from cluster.supervision.decision import Decision, decide
from protocol.errors import (
    ActorDied,
    EngineDied,
    MissingError,
    ProbeMismatch,
    ResourceError,
    TooManyRestarts,
    WeightsGone,
)
from tests.support.collective import Collective, CollectiveActor, pushed_policy
from tests.support.messages import PROBE, make_policy, make_request
from tests.support.mortal_fleet import MortalActor, World, settle, until
from tests.support.parts import PROBE_DIFFERENCE, FakeActor

pytestmark = pytest.mark.timeout(10)


async def test_a_replacement_proves_the_newest_version_before_it_takes_requests() -> None:
    world = World()
    await world.fleet.load_policy(make_policy(3))
    world.may_start.clear()
    world.actors[0].die()
    await world.drawing(8)
    assert await world.fleet.load_policy(make_policy(4)) == PROBE_DIFFERENCE
    await world.fleet.wait_for_version(4)
    world.may_start.set()
    await until(lambda: world.started and world.started[0][1].loaded)
    replacement = world.started[0][1]
    await settle()
    world.actors[1].may_answer.clear()
    drawing = world.drawing(4, first=8)
    await until(lambda: replacement.served)
    world.actors[1].may_answer.set()
    await drawing
    assert replacement.loaded == [4]
    assert {version for _, version in replacement.served} == {4}


async def test_a_version_that_comes_while_a_replacement_loads_is_loaded_too() -> None:
    world = World()
    await world.fleet.load_policy(make_policy(1))
    world.prepare = lambda actor: actor.may_load.clear()
    world.actors[0].die()
    await world.drawing(4)
    await until(lambda: world.started)
    _, replacement = world.started[0]
    await world.fleet.load_policy(make_policy(2))
    await world.drawing(4, first=4)
    assert not replacement.requests
    replacement.may_load.set()
    await until(lambda: len(replacement.loaded) == 2)
    await world.drawing(8, first=8)
    assert replacement.loaded == [1, 2]
    assert {version for _, version in replacement.served} == {2}


async def test_a_replacement_that_falls_too_is_replaced() -> None:
    world = World(1)
    await world.fleet.load_policy(make_policy(2))
    world.failures = [ActorDied("rollout actor rollout-0 did not start"), EngineDied("and died")]
    world.actors[0].die()
    assert len(await world.drawing(4)) == 4
    assert [kind for _, kind in world.told] == ["ActorDied", "ActorDied", "EngineDied"]
    assert world.started[-1][1].loaded == [2]


async def test_too_many_deaths_end_the_run_with_the_first_cause() -> None:
    world = World(max_restarts=2)
    world.failures = [ActorDied(f"death {number}") for number in (2, 3, 4)]
    world.may_start.clear()
    world.actors[0].die(EngineDied("the vLLM engine core died"))
    await world.drawing(4)  # the other draws them
    world.may_start.set()
    await until(lambda: world.fleet._failure)
    for call in (
        world.fleet.generate([make_request()]),
        world.fleet.load_policy(make_policy(1)),
    ):
        with pytest.raises(
            TooManyRestarts, match=r"core died; .* started again 2 times .*: death 3"
        ):
            await call


async def test_who_waits_while_the_last_replacement_fails_is_told() -> None:
    world = World(1, max_restarts=1)
    world.failures = [ActorDied("again")]
    world.may_start.clear()
    await world.fleet.load_policy(make_policy(1))
    world.actors[0].die()
    calls = [
        world.drawing(2),
        asyncio.create_task(world.fleet.load_policy(make_policy(2))),
        asyncio.create_task(world.fleet.wait_for_version(2)),
    ]
    await settle()
    world.may_start.set()
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(outcome, TooManyRestarts)
        assert "started again 1 times" in str(outcome)


async def test_a_start_that_a_person_must_mend_ends_the_run_at_once() -> None:
    world = World(1)
    world.failures = [ResourceError("no memory for the KV cache")]
    world.actors[0].die()
    with pytest.raises(ResourceError, match="no memory for the KV cache"):
        await world.drawing(2)
    assert len(world.told) == 1


async def test_a_replacement_whose_probe_is_another_stops_the_line() -> None:
    world = World(1)
    await world.fleet.load_policy(make_policy(1))
    world.may_start.clear()
    world.actors[0].die()
    drawing = world.drawing(2)
    await settle()
    wrong = replace(make_policy(2), probe=replace(PROBE, logprobs=(-9.0,)))
    loading = asyncio.create_task(world.fleet.load_policy(wrong))
    await settle()
    world.may_start.set()
    for call in (drawing, loading):
        with pytest.raises(ProbeMismatch):
            await call


async def test_weights_that_are_no_longer_published_are_passed_over_for_newer_ones() -> None:
    world = World()
    await world.fleet.load_policy(make_policy(1))

    def prepare(actor: MortalActor) -> None:
        actor.may_load.clear()
        actor.fails_to_load = [MissingError("no longer holds policy version 1")]

    world.prepare = prepare
    world.actors[0].die()
    await world.drawing(4)
    await until(lambda: world.started)
    await world.fleet.load_policy(make_policy(5))
    world.started[0][1].may_load.set()
    await until(lambda: world.started[0][1].loaded)
    assert world.started[0][1].loaded == [5]
    assert len(world.told) == 1


async def test_weights_that_are_missing_and_the_newest_say_that_the_learner_is_gone() -> None:
    world = World(1)
    await world.fleet.load_policy(make_policy(1))
    world.prepare = lambda actor: actor.fails_to_load.append(MissingError("version 1 is not there"))
    world.actors[0].die()
    with pytest.raises(WeightsGone, match="version 1 is not there; it is the newest") as raised:
        await world.drawing(2)
    assert decide(raised.value, is_whole=True) is Decision.REPLACE
    assert len(world.started) == 1, "another actor would not find them either"


async def test_who_finds_the_newest_weights_gone_is_not_taken_for_what_failed() -> None:
    world = World()
    world.actors[0].fails_to_load = [MissingError("version 1 is not there")]
    with pytest.raises(WeightsGone, match="version 1 is not there"):
        await world.fleet.load_policy(make_policy(1))
    assert not world.told


async def test_where_weights_are_pushed_a_death_ends_the_run_and_says_why() -> None:
    collective = Collective(3)
    actors = [CollectiveActor(collective, name) for name in ("ann", "bob")]

    async def never(index: int) -> FakeActor:
        raise AssertionError(f"actor {index} was replaced")

    fleet = RolloutFleet(actors, 2, replace=never)
    await fleet.load_policy(pushed_policy(0))
    actors[0].failure = ActorDied("rollout actor rollout-0 died")
    with pytest.raises(ActorDied, match="died; where the learner pushes weights an actor cannot"):
        await fleet.load_policy(pushed_policy(0))


async def test_without_a_way_to_replace_it_a_death_is_raised() -> None:
    actor = MortalActor()
    fleet = RolloutFleet([actor], 2)
    actor.die()
    with pytest.raises(ActorDied, match="rollout actor rollout-0 died"):
        await fleet.generate([make_request()])


async def test_a_closed_fleet_starts_nobody() -> None:
    world = World()
    world.may_start.clear()
    world.actors[0].die()
    await world.drawing(4)
    await world.fleet.close()
    world.may_start.set()
    await asyncio.sleep(0.02)
    assert world.started == []
    await world.fleet.close()
