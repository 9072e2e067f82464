"""Parts that Ray starts again by itself are counted, and those that are silent are ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from cluster.supervision import signs_of_life
from cluster.supervision.config import RestartsConfig
from cluster.supervision.restarts import Restarts
from cluster.supervision.signs_of_life import SignsOfLife
from protocol.errors import TooManyRestarts
from protocol.remote import Remote, StartedAgain

pytestmark = pytest.mark.timeout(20)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signs_of_life, "INTERVAL_S", 0.001)


class Part:
    """A handle of an actor that Ray starts again."""

    def __init__(self) -> None:
        self.process = 1
        self.asked = asyncio.Semaphore(0)
        self.answers = asyncio.Event()
        self.answers.set()
        self.incarnation = self

    async def remote(self) -> str:
        self.asked.release()
        await self.answers.wait()
        return str(self.process)

    async def is_asked(self, times: int = 3) -> None:
        self.asked = asyncio.Semaphore(0)
        for _ in range(times):
            await self.asked.acquire()


class World:
    def __init__(self, *, max_restarts: int = 10, timeout_s: float = 10.0) -> None:
        self.queue, self.hub = Part(), Part()
        self.told: list[str] = []
        self.ended: list[str] = []
        config = RestartsConfig(
            max_restarts=max_restarts, first_pause_s=0.001, silence_timeout_s=timeout_s
        )
        restarts = Restarts(config, lambda part, cause: self.told.append(f"{part}: {cause}"))
        parts = [Remote[StartedAgain](self.queue, "the queue"), Remote(self.hub, "the hub")]
        self.signs = SignsOfLife(parts, restarts, config, self._start_again)

    def _start_again(self, part: Remote[StartedAgain]) -> None:
        self.ended.append(part.who)
        handle: Any = part.handle
        handle.process += 1
        handle.answers.set()

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(self.signs.watch())
        try:
            yield task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, ExceptionGroup):
                await task


async def test_parts_that_live_are_not_told_of() -> None:
    world = World()
    async with world.watching():
        await world.queue.is_asked()
        await world.hub.is_asked()
    assert world.told == world.ended == []


async def test_each_process_that_took_the_place_of_another_is_told_once() -> None:
    world = World()
    async with world.watching():
        for _ in range(2):
            await world.hub.is_asked()
            world.hub.process += 1
            await world.hub.is_asked()
    assert world.told == ["the hub: the process of the hub was gone"] * 2
    assert world.ended == []


async def test_what_ray_starts_again_too_often_ends_the_run() -> None:
    world = World(max_restarts=2)
    async with world.watching() as task:
        for _ in range(2):
            await world.queue.is_asked()
            world.queue.process += 1
        await world.queue.is_asked()
        world.queue.process += 1
        with pytest.raises(ExceptionGroup) as raised:
            await task
    assert raised.group_contains(TooManyRestarts, match="the queue was started again 2 times")


async def test_who_is_silent_for_too_long_is_ended_and_the_others_are_not() -> None:
    world = World(timeout_s=0.05)
    async with world.watching():
        await world.queue.is_asked()
        world.queue.answers.clear()
        while not world.ended:
            await world.hub.is_asked()
        await world.queue.is_asked()
    assert world.ended == ["the queue"]
    assert world.told == ["the queue: the queue gave no sign of life for 0.05 s"]
