"""Waiting for a change: woken by one, by time, and never deaf to being cancelled."""

from __future__ import annotations

import asyncio

import pytest

from label_queue.signals import Change, Line


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


def line_of(*names: str, busy: str = "") -> tuple[Line, list[str], list[asyncio.Task[None]]]:
    """A line in which everybody notes that they were woken, and passes their turn on."""
    line, woken = Line(lambda name: name not in busy), []

    async def wait(name: str) -> None:
        with line.place(name) as place:
            while True:
                await place.wait(60.0)
                woken.append(name)
                if name in TAKERS:
                    place.turn = None
                    return
                line.pass_on(place)

    return line, woken, [asyncio.create_task(wait(name)) for name in names]


TAKERS = "XYZ"
"""Names of those who can use whatever there is."""


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_as_many_are_woken_as_there_are_things_in_the_order_in_which_they_came() -> None:
    line, woken, tasks = line_of(*"XYZ")
    await settle()
    line.call(2)
    await settle()
    assert woken == ["X", "Y"]
    await end(tasks)


async def test_who_has_free_hands_comes_first() -> None:
    line, woken, tasks = line_of(*"XYZ", busy="X")
    await settle()
    line.call(2)
    await settle()
    assert woken == ["Y", "Z"]
    await end(tasks)


async def test_a_turn_that_is_nothing_for_one_goes_to_the_next_and_ends_with_the_last() -> None:
    line, woken, tasks = line_of(*"aXbc")
    await settle()
    line.call(1)
    await settle()
    assert woken == ["a", "X"]
    line.call(1)
    await settle()
    assert woken == ["a", "X", "a", "b", "c"]
    await end(tasks)


async def test_who_leaves_with_a_turn_passes_it_on() -> None:
    line, woken, tasks = line_of(*"XY")
    await settle()
    line.call(1)
    tasks[0].cancel()
    await settle()
    assert woken == ["Y"]
    await end(tasks)


async def test_all_or_one_can_be_woken_to_look_again() -> None:
    line, woken, tasks = line_of(*"abc")
    await settle()
    line.call_one("b")
    await settle()
    assert woken == ["b"]
    line.call_all()
    await settle()
    assert woken == ["b", "a", "b", "c"]
    await end(tasks)
