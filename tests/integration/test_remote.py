"""A class on Ray as another process sees it: its types, its answers, its own errors."""

from __future__ import annotations

import asyncio

import pytest
import ray

from protocol.errors import ActorDied, InputError
from protocol.remote import Remote, spawn

pytestmark = pytest.mark.usefixtures("ray_session")


class Counter:
    """An actor with a method of each kind."""

    def __init__(self, start: int) -> None:
        if start < 0:
            raise InputError("start: give 0 or more")
        self._count = start

    def add(self, amount: int, *, times: int = 1) -> int:
        self._count += amount * times
        return self._count

    def refuse(self) -> None:
        raise InputError("no such thing", "field")


class SlowCounter(Counter):
    async def add_later(self, amount: int) -> int:
        await asyncio.sleep(0)
        return self.add(amount)


def test_arguments_and_answers_cross() -> None:
    counter: Remote[Counter] = spawn(SlowCounter, "the counter", {"num_cpus": 0})(3)

    async def ask() -> tuple[int, int]:
        return await counter.ask(Counter.add, 2), await counter.ask(Counter.add, 1, times=5)

    assert asyncio.run(ask()) == (5, 10)
    ray.kill(counter.handle)


def test_a_coroutine_is_asked_like_any_other() -> None:
    counter = spawn(SlowCounter, "the counter", {"num_cpus": 0})(0)
    assert asyncio.run(counter.ask(SlowCounter.add_later, 4)) == 4
    ray.kill(counter.handle)


def test_what_it_raised_comes_out_as_it_was_raised() -> None:
    counter = spawn(SlowCounter, "the counter", {"num_cpus": 0})(0)
    with pytest.raises(InputError) as failure:
        asyncio.run(counter.ask(Counter.refuse))
    assert failure.value.args == ("no such thing", "field")
    ray.kill(counter.handle)


def test_one_whose_process_is_gone_is_named() -> None:
    counter = spawn(SlowCounter, "the counter", {"num_cpus": 0})(0)
    assert asyncio.run(counter.ask(Counter.add, 1)) == 1
    ray.kill(counter.handle)
    with pytest.raises(ActorDied, match="the counter died"):
        asyncio.run(counter.ask(Counter.add, 1))


def test_one_whose_constructor_raised_says_what() -> None:
    counter = spawn(SlowCounter, "the counter", {"num_cpus": 0})(-1)
    with pytest.raises(ActorDied, match=r"the counter did not start: .*InputError: start: give 0"):
        asyncio.run(counter.ask(Counter.add, 1))


def test_it_can_be_given_to_another() -> None:
    class Asker:
        async def ask(self, counter: Remote[Counter]) -> int:
            return await counter.ask(Counter.add, 7)

    counter = spawn(SlowCounter, "the counter", {"num_cpus": 0})(0)
    asker = spawn(Asker, "who asks", {"num_cpus": 0})()
    assert asyncio.run(asker.ask(Asker.ask, counter)) == 7
    ray.kill(asker.handle)
    ray.kill(counter.handle)
