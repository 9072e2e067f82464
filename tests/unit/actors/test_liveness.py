"""Who waits for an engine core that died is told, also where vLLM tells nobody."""

from __future__ import annotations

import asyncio

import pytest

from actors import liveness
from actors.liveness import while_alive
from protocol.errors import EngineDied

pytestmark = pytest.mark.timeout(10)


@pytest.fixture(autouse=True)
def _poll(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "POLL_S", 0.01)


async def never() -> int:
    await asyncio.Event().wait()
    raise AssertionError("nobody waits so long")


async def soon() -> int:
    await asyncio.sleep(0.05)
    return 7


async def test_what_a_living_core_does_is_waited_for() -> None:
    assert await while_alive(soon(), lambda: False) == 7


async def test_a_dead_core_is_not_waited_for() -> None:
    with pytest.raises(EngineDied):
        await while_alive(never(), lambda: True)


async def test_what_the_work_itself_says_of_the_death_goes_before() -> None:
    async def says_so() -> int:
        await asyncio.sleep(0.015)
        raise ValueError("the core says why")

    with pytest.raises(ValueError, match="the core says why"):
        await while_alive(says_so(), lambda: True)


async def test_work_that_is_no_longer_wanted_ends() -> None:
    ended = asyncio.Event()

    async def work() -> int:
        try:
            return await never()
        finally:
            ended.set()

    waiting = asyncio.create_task(while_alive(work(), lambda: False))
    await asyncio.sleep(0.02)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await ended.wait()
