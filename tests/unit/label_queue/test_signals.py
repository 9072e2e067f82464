"""Waiting for a change: woken by one, by time, and never deaf to being cancelled."""

from __future__ import annotations

import asyncio

import pytest

from label_queue.signals import Change


async def test_all_who_wait_are_woken_by_the_next_change() -> None:
    change = Change()
    change.notify()
    waits = [asyncio.create_task(change.wait(timeout)) for timeout in (None, 60.0)]
    await asyncio.sleep(0)
    assert not any(wait.done() for wait in waits)
    change.notify()
    await asyncio.wait_for(asyncio.gather(*waits), 5)
    assert change.count == 2


async def test_time_that_is_up_ends_a_wait() -> None:
    change = Change()
    await asyncio.wait_for(change.wait(0.0), 5)
    assert change.count == 0


@pytest.mark.parametrize("num_turns", [0, 1, 2, 3])
@pytest.mark.parametrize("timeout_s", [None, 60.0])
async def test_who_is_cancelled_while_a_change_comes_is_cancelled(
    timeout_s: float | None, num_turns: int
) -> None:
    change = Change()
    wait = asyncio.create_task(change.wait(timeout_s))
    for _ in range(3):
        await asyncio.sleep(0)
    change.notify()
    for _ in range(num_turns):  # into what it takes to wake the waiter
        await asyncio.sleep(0)
    is_heard = wait.cancel()
    assert is_heard or num_turns > 0
    [end] = await asyncio.gather(wait, return_exceptions=True)
    assert isinstance(end, asyncio.CancelledError) is is_heard
