"""Calls that come while others are on their way cross together, and are answered one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from protocol.errors import ActorDied, InputError
from protocol.gathering import CALLS_A_MESSAGE, Call, Gathered, Outcome
from protocol.remote import Remote, Sides, side_of


async def echo(answer: int) -> int:
    return answer


def call(answer: int) -> Call:
    return echo, (answer,), {}


class Post:
    """Keeps messages until they are let through."""

    def __init__(self) -> None:
        self.messages: list[list[Call]] = []
        self.open = asyncio.Event()

    @property
    def sizes(self) -> list[int]:
        return [len(message) for message in self.messages]

    async def send(self, calls: list[Call]) -> Sequence[Outcome]:
        self.messages.append(calls)
        await self.open.wait()
        return [Outcome(answer=await method(*args)) for method, args, _ in calls]


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_what_comes_while_a_message_is_on_its_way_leaves_together() -> None:
    post = Post()
    gathered = Gathered(post.send)
    calls = []
    for number in range(6):
        calls.append(asyncio.create_task(gathered.ask(call(number))))
        await turns()
    assert post.sizes == [1]
    post.open.set()
    assert await asyncio.gather(*calls) == list(range(6))
    assert post.sizes == [1, 5]


async def test_a_message_holds_no_more_than_it_may() -> None:
    post = Post()
    gathered = Gathered(post.send)
    first = asyncio.create_task(gathered.ask(call(-1)))
    await turns()
    count = CALLS_A_MESSAGE + 1
    calls = [asyncio.create_task(gathered.ask(call(number))) for number in range(count)]
    await turns()
    post.open.set()
    assert await asyncio.gather(first, *calls) == list(range(-1, count))
    assert post.sizes == [1, CALLS_A_MESSAGE, 1]


async def test_several_messages_are_on_their_way_where_they_may_be() -> None:
    post = Post()
    gathered = Gathered(post.send, at_once=2)
    calls = []
    for number in range(5):
        calls.append(asyncio.create_task(gathered.ask(call(number))))
        await turns()
    assert post.sizes == [1, 1]
    post.open.set()
    assert await asyncio.gather(*calls) == list(range(5))
    assert post.sizes == [1, 1, 3]


async def test_what_items_cost_bounds_a_message_and_a_dear_one_goes_by_itself() -> None:
    messages: list[list[int]] = []

    async def send(items: list[int]) -> Sequence[Outcome]:
        messages.append(items)
        return [Outcome(answer=-item) for item in items]

    gathered = Gathered(send, most=10, cost=lambda item: item)
    ends = await asyncio.gather(*map(gathered.ask, (4, 5, 2, 25, 1, 9)))
    assert ends == [-4, -5, -2, -25, -1, -9]
    assert messages == [[4, 5], [2], [25], [1, 9]]


async def test_a_message_that_is_lost_is_lost_to_all_in_it_and_to_nobody_else() -> None:
    sent = 0

    async def send(calls: list[Call]) -> Sequence[Outcome]:
        nonlocal sent
        sent += 1
        await turns()
        if sent == 2:
            raise ActorDied("the other process died")
        return [Outcome(answer=args[0]) for _, args, _ in calls]

    gathered = Gathered(send)
    first = asyncio.create_task(gathered.ask(call(0)))
    await turns(1)
    others = [asyncio.create_task(gathered.ask(call(number))) for number in range(3)]
    ends = await asyncio.gather(first, *others, return_exceptions=True)
    assert [type(end) for end in ends] == [int, *[ActorDied] * 3]
    assert await gathered.ask(call(7)) == 7


async def test_one_that_is_cancelled_before_it_left_is_not_made() -> None:
    post = Post()
    gathered = Gathered(post.send)
    first = asyncio.create_task(gathered.ask(call(0)))
    await turns()
    calls = [asyncio.create_task(gathered.ask(call(number))) for number in (1, 2)]
    await turns()
    calls[0].cancel()
    first.cancel()  # on its way: it is made, and nobody takes the answer
    await turns()
    post.open.set()
    ends = await asyncio.gather(first, *calls, return_exceptions=True)
    assert [type(end) for end in ends] == [asyncio.CancelledError, asyncio.CancelledError, int]
    assert [args for message in post.messages for _, args, _ in message] == [(0,), (2,)]


class Counting:
    """A side that counts what it is given."""

    def __init__(self) -> None:
        self.total = 0

    async def count(self) -> int:
        return self.total

    async def add(self, amount: int, *, times: int = 1) -> int:
        if amount < 0:
            raise InputError("amount: give 0 or more", "amount")
        if amount == 0:
            raise ZeroDivisionError("nothing\nat all")
        self.total += amount * times
        return self.total


class Here(Remote[Any]):
    """A process that is this one."""

    def __init__(self, *sides: object) -> None:
        super().__init__(None, "the counter")
        self._sides = Sides(*sides)
        self.asked: list[str] = []

    async def ask(self, method: Any, *args: Any, **kwargs: Any) -> Any:
        self.asked.append(method.__name__)
        return await method(self._sides, *args, **kwargs)


async def test_each_call_of_a_side_has_its_own_answer_or_error() -> None:
    here = Here(Counting())
    counting = side_of(here, Counting, ("add", "count"))
    ends = await asyncio.gather(
        counting.add(1),
        counting.add(2, times=2),
        counting.add(-1),
        counting.add(0),
        counting.add(3),
        counting.count(),
        return_exceptions=True,
    )
    one, two, negative, zero, three, count = ends
    assert (one, two, three, count) == (1, 5, 8, 8)
    assert isinstance(negative, InputError)
    assert negative.args == ("amount: give 0 or more", "amount")
    assert isinstance(zero, RuntimeError)
    assert str(zero) == "ZeroDivisionError: nothing\nat all"
    assert "in add" in "".join(zero.__notes__)
    assert here.asked == ["on_side_each"]


def test_what_is_gathered_must_be_there() -> None:
    with pytest.raises(AssertionError, match="Counting has not all of"):
        side_of(Here(Counting()), Counting, ("subtract",))
