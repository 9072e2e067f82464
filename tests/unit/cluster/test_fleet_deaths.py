"""Actors that die: their work goes to others, and another takes their place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from cluster.loops.fleet import RolloutFleet
from cluster.loops.turns import Turns
from cluster.supervision.config import RestartsConfig
from cluster.supervision.restarts import Restarts
from protocol.errors import (
    ActorDied,
    EngineDied,
    MissingError,
    ProbeMismatch,
    ResourceError,
    TooManyRestarts,
)
from protocol.messages import PolicyVersion, Rollout, RolloutRequest
from tests.support.collective import Collective, CollectiveActor, pushed_policy
from tests.support.messages import PROBE, make_policy, make_request
from tests.support.parts import PROBE_DIFFERENCE, FakeActor

T = TypeVar("T")

pytestmark = pytest.mark.timeout(10)


class MortalActor(FakeActor):
    """Dies when told to, with every call that it is at; or gives no answer any more."""

    def __init__(self) -> None:
        super().__init__()
        self.served: list[tuple[str, int]] = []
        """Each rollout it gave, and the version it held."""
        self.loaded: list[int] = []
        self.fails_to_load: list[Exception] = []
        self.may_load = asyncio.Event()
        self.may_load.set()
        self.hangs = False
        self._died: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def die(self, error: Exception | None = None) -> None:
        self._died.set_exception(error or ActorDied("rollout actor rollout-0 died"))
        self._died.exception()  # also where nobody asks it for anything

    async def generate(self, requests: Sequence[RolloutRequest]) -> list[Rollout]:
        rollouts = await self._unless_dead(super().generate(requests))
        self.served += [(each.rollout_id, self.version) for each in rollouts]
        return rollouts

    async def load_policy(self, policy: PolicyVersion) -> float:
        await self.may_load.wait()
        if self.fails_to_load:
            raise self.fails_to_load.pop(0)
        difference = await self._unless_dead(super().load_policy(policy))
        self.loaded.append(policy.version)
        return difference

    async def rest(self) -> None:
        await self._unless_dead(super().rest())

    async def _unless_dead(self, call: Coroutine[Any, Any, T]) -> T:
        answer = asyncio.ensure_future(call)
        both: set[asyncio.Future[Any]] = {answer, self._died}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if self._died.done():
            answer.cancel()
            self._died.result()
        if self.hangs:
            await asyncio.Event().wait()
        return answer.result()


class World:
    """A fleet of actors that may die, each replaced by a new one as soon as it may start."""

    def __init__(
        self,
        count: int = 2,
        *,
        max_restarts: int = 10,
        timeout_s: float = 60.0,
        turns: Turns | None = None,
    ) -> None:
        self.actors = [MortalActor() for _ in range(count)]
        self.started: list[tuple[int, MortalActor]] = []
        """Replacements, with the index they were started for."""
        self.may_start = asyncio.Event()
        self.may_start.set()
        self.prepare: Callable[[MortalActor], None] = lambda _: None
        """Called with each replacement before it joins."""
        self.failures: list[Exception] = []
        """Raised by the starts to come, in turn."""
        self.told: list[tuple[str, str]] = []
        restarts = Restarts(
            RestartsConfig(max_restarts=max_restarts, first_pause_s=0.001),
            lambda part, cause: self.told.append((part, type(cause).__name__)),
        )
        self.ended: list[int] = []
        self.fleet = RolloutFleet(
            self.actors,
            2,
            replace=self._replace,
            end=self.ended.append,
            turns=turns,
            restarts=restarts,
            timeout_s=timeout_s,
        )

    async def _replace(self, index: int) -> MortalActor:
        await self.may_start.wait()
        if self.failures:
            raise self.failures.pop(0)
        actor = MortalActor()
        self.prepare(actor)
        self.started.append((index, actor))
        return actor

    def hold(self) -> None:
        for actor in self.actors:
            actor.may_answer.clear()

    def drawing(self, count: int, first: int = 0) -> asyncio.Task[list[Rollout]]:
        requests = [make_request(number) for number in range(first, first + count)]
        return asyncio.create_task(self.fleet.generate(requests))


async def until(condition: Callable[[], object]) -> None:
    """Let tasks go on until a condition holds."""
    while not condition():  # noqa: ASYNC110 -- of what the fleet does there is no event
        await asyncio.sleep(0.001)


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


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


async def test_weights_that_are_missing_and_the_newest_end_the_run() -> None:
    world = World(1)
    await world.fleet.load_policy(make_policy(1))
    world.prepare = lambda actor: actor.fails_to_load.append(MissingError("version 1 is not there"))
    world.actors[0].die()
    with pytest.raises(MissingError, match="version 1 is not there"):
        await world.drawing(2)


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
