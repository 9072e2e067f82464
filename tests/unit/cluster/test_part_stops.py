"""The parts of a run are asked to stop, and none of them keeps the others from it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from cluster.starting.part_stops import PartStops
from protocol.errors import ActorDied, DiskFull


class Stops:
    """Parts that stop, and one that hangs until it is let go."""

    def __init__(self) -> None:
        self.stopped: list[str] = []
        self.is_hanging = asyncio.Event()
        self.may_stop = asyncio.Event()

    async def stop(self, name: str) -> None:
        self.stopped.append(name)

    async def hang(self) -> None:
        self.is_hanging.set()
        await self.may_stop.wait()

    async def fail(self, error: Exception) -> None:
        raise error


async def test_all_are_asked_at_once_and_one_time_only() -> None:
    parts, stops = Stops(), PartStops()

    async def last() -> None:
        parts.may_stop.set()

    stops.push_async_callback(parts.hang)
    stops.push_async_callback(parts.stop, "learner")
    stops.push_async_callback(last)  # in turn, the first would wait for ever
    await stops.aclose()
    assert parts.stopped == ["learner"]
    await stops.aclose()
    assert parts.stopped == ["learner"]


async def test_a_part_that_hangs_is_left_when_its_time_is_over() -> None:
    parts, stops = Stops(), PartStops(limit_s=0.01)
    stops.push_async_callback(parts.hang)
    stops.push_async_callback(parts.stop, "learner")
    await asyncio.wait_for(stops.aclose(), 10)
    assert parts.stopped == ["learner"]


async def test_cancelled_it_waits_for_nobody() -> None:
    parts, stops = Stops(), PartStops()
    stops.push_async_callback(parts.hang)
    closing = asyncio.create_task(stops.aclose())
    await parts.is_hanging.wait()
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(closing, 10)


async def test_a_part_that_is_gone_has_stopped() -> None:
    parts, stops = Stops(), PartStops()
    stops.push_async_callback(parts.fail, ActorDied("rollout actor rollout-0 died"))
    await stops.aclose()


async def test_what_a_part_could_not_finish_is_raised_when_all_were_asked() -> None:
    parts, stops = Stops(), PartStops()
    asks: list[tuple[Callable[..., Awaitable[None]], object]] = [
        (parts.fail, DiskFull("ledger.sqlite: its disk is full")),
        (parts.stop, "learner"),
    ]
    for ask, what in asks:
        stops.push_async_callback(ask, what)
    with pytest.raises(ExceptionGroup) as told:
        await stops.aclose()
    assert [str(error) for error in told.value.exceptions] == ["ledger.sqlite: its disk is full"]
    assert parts.stopped == ["learner"]
