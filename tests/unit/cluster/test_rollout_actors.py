"""The places of the rollout actors: each is started, and started again where it dies."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors.shell import RolloutActorShell
from cluster.starting.rollout_actors import RolloutActors
from cluster.supervision import deadlines
from cluster.supervision.config import RestartsConfig
from cluster.supervision.restarts import Restarts
from protocol.errors import ActorDied, ResourceError
from protocol.remote import Remote

pytestmark = pytest.mark.timeout(10)


class Process:
    """A handle of an actor's process: its calls go to coroutines, as on Ray."""

    def __init__(self, index: int, number: int, failure: Exception | None) -> None:
        self.index = index
        self.number = number
        self.is_killed = False
        self.is_started = False
        self.is_stopped = False
        self._failure = failure

    def __getattr__(self, method: str) -> Any:
        if method not in ("start", "stop"):
            raise AttributeError(method)
        return _Method(getattr(self, f"_{method}"))

    async def _start(self) -> None:
        if self._failure is not None:
            raise self._failure
        self.is_started = True

    async def _stop(self) -> None:
        if self.is_killed:
            raise ActorDied("it died")
        self.is_stopped = True


class _Method:
    def __init__(self, method: Any) -> None:
        self.remote = method


class World:
    """Two places for actors."""

    def __init__(self, failures: dict[int, list[Exception]] | None = None) -> None:
        self.processes: list[Process] = []
        self.told: list[str] = []
        self._failures = failures or {}
        restarts = Restarts(
            RestartsConfig(max_restarts=3, first_pause_s=0.001),
            lambda part, cause: self.told.append(part),
        )
        self.actors = RolloutActors(2, self._spawn, restarts)

    def _spawn(self, index: int, number: int) -> Remote[RolloutActorShell]:
        waiting = self._failures.get(index)
        process = Process(index, number, waiting.pop(0) if waiting else None)
        self.processes.append(process)
        return Remote(process, f"rollout actor rollout-{index}")


@pytest.fixture(autouse=True)
def _kill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.kill", lambda process: setattr(process, "is_killed", True))


async def test_all_are_started_and_stopped() -> None:
    world = World()
    await world.actors.start()
    await world.actors.stop()
    assert [(each.index, each.number) for each in world.processes] == [(0, 0), (1, 0)]
    assert all(each.is_started and each.is_stopped for each in world.processes)


async def test_a_replacement_has_the_place_of_a_process_that_was_ended_first() -> None:
    world = World()
    await world.actors.start()
    before = list(world.actors.actors)
    actor = await world.actors.replace(1)
    assert world.actors.actors == [before[0], actor]
    old, new = world.processes[1], world.processes[2]
    assert old.is_killed
    assert (new.index, new.number, new.is_started, new.is_killed) == (1, 1, True, False)
    assert actor.who == "rollout actor rollout-1"


async def test_a_replacement_that_does_not_start_leaves_no_process() -> None:
    world = World()
    await world.actors.start()
    world._failures[1] = [ResourceError("no memory")]
    with pytest.raises(ResourceError):
        await world.actors.replace(1)
    assert all(each.is_killed for each in world.processes if each.index == 1)


async def test_one_that_dies_while_it_starts_is_started_again() -> None:
    world = World({0: [ActorDied("died"), ActorDied("died again")]})
    await world.actors.start()
    assert world.told == ["rollout actor rollout-0"] * 2
    assert [each.is_started for each in world.processes if each.index == 0] == [False, False, True]


async def test_what_a_person_must_mend_is_said_at_once() -> None:
    world = World({0: [ResourceError("no memory for the KV cache")]})
    with pytest.raises(ResourceError, match="no memory for the KV cache"):
        await world.actors.start()
    assert not world.told


async def test_dead_actors_have_nothing_to_stop() -> None:
    world = World()
    await world.actors.start()
    world.processes[0].is_killed = True
    await world.actors.stop()
    assert world.processes[1].is_stopped


async def test_one_that_never_comes_up_is_taken_for_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "START_TIMEOUT_S", 0.01)
    world = World()

    async def never() -> None:
        await asyncio.Event().wait()

    world.processes[0]._start = never  # type: ignore[method-assign]
    await world.actors.start()
    assert world.told == ["rollout actor rollout-0"]
    assert world.processes[0].is_killed
