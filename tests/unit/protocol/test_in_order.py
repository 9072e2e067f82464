"""Numbered calls have their turn once each, in order, also for a process that is new."""

from __future__ import annotations

import asyncio
import random

import pytest

from protocol.in_order import InOrder

pytestmark = pytest.mark.timeout(20)


class World:
    def __init__(self) -> None:
        self.order = InOrder()
        self.taken: list[int] = []

    async def call(self, number: int, oldest: int) -> None:
        async with self.order.turn(number, oldest) as is_first:
            if is_first:
                self.taken.append(number)

    async def calls(self, *numbers: int, oldest: int) -> None:
        await asyncio.gather(*(self.call(number, oldest) for number in numbers))


@pytest.mark.parametrize("seed", range(20))
async def test_calls_that_come_in_any_order_and_twice_are_taken_in_theirs(seed: int) -> None:
    world = World()
    numbers = [*range(5, 25), *range(5, 25, 3)]
    random.Random(seed).shuffle(numbers)
    await world.calls(*numbers, oldest=5)
    assert world.taken == list(range(5, 25))


async def test_a_call_before_the_oldest_is_not_waited_for() -> None:
    world = World()
    late = asyncio.create_task(world.call(9, oldest=5))  # 5 to 8 were answered meanwhile
    await asyncio.sleep(0)
    assert world.taken == []
    await world.order.answered(9)
    await late
    assert world.taken == [9]


async def test_a_newer_call_says_what_its_caller_has_answers_to() -> None:
    world = World()
    await world.calls(9, 10, 11, oldest=9)
    await world.call(12, oldest=12)
    await world.call(11, oldest=11)
    assert world.taken == [9, 10, 11, 12]


async def test_a_call_that_raises_has_had_its_turn() -> None:
    world = World()

    async def raising() -> None:
        async with world.order.turn(0, 0):
            raise ValueError("refused")

    with pytest.raises(ValueError, match="refused"):
        await raising()
    await world.calls(0, 1, oldest=0)
    assert world.taken == [1]
