"""Who has the device, call by call: two parts that note what becomes of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from cluster.loops.turns import LearnerInTurns, Turn, Turns
from tests.support.parts import FakeLearner

pytestmark = pytest.mark.timeout(60)


class Part:
    """Notes its moves, and fails the ones it is told to."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self._name = name
        self._notes = notes
        self.failures: dict[str, BaseException] = {}
        self.may_wake = asyncio.Event()
        self.may_wake.set()

    async def rest(self) -> None:
        await self._moved("rests")

    async def wake(self) -> None:
        await self.may_wake.wait()
        await self._moved("wakes")

    async def _moved(self, move: str) -> None:
        await asyncio.sleep(0)
        if (error := self.failures.pop(move, None)) is not None:
            raise error
        self._notes.append(f"{self._name} {move}")


class Table:
    """Two parts at one device."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.one, self.other = Part("one", self.notes), Part("other", self.notes)
        turns = Turns()
        self.turn_of_one, self.turn_of_other = turns.join(self.one), turns.join(self.other)

    def at_work(self, turn: Turn, what: str, end: asyncio.Event) -> asyncio.Task[None]:
        async def work() -> None:
            async with turn:
                self.notes.append(what)
                await end.wait()

        return asyncio.create_task(work())


@pytest.fixture
async def table() -> Table:
    return Table()


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_the_others_rest_before_one_wakes_and_it_keeps_the_turn(table: Table) -> None:
    for _ in range(2):
        async with table.turn_of_one:
            table.notes.append("work")
    assert table.notes == ["other rests", "one wakes", "work", "work"]
    async with table.turn_of_other:
        table.notes.append("other work")
    assert table.notes[4:] == ["one rests", "other wakes", "other work"]


async def test_one_part_works_at_several_things_and_the_other_waits_for_all(table: Table) -> None:
    ends = [asyncio.Event(), asyncio.Event()]
    works = [table.at_work(table.turn_of_one, "work", end) for end in ends]
    await settled()
    waiting = table.at_work(table.turn_of_other, "other work", ends[0])
    await settled()
    assert table.notes == ["other rests", "one wakes", "work", "work"]
    ends[0].set()
    await settled()
    assert len(table.notes) == 4
    ends[1].set()
    await asyncio.gather(*works, waiting)
    assert table.notes[4:] == ["one rests", "other wakes", "other work"]


async def test_who_comes_after_another_part_is_behind_it(table: Table) -> None:
    end, never = asyncio.Event(), asyncio.Event()
    never.set()
    works = [table.at_work(table.turn_of_one, "first", end)]
    await settled()
    works.append(table.at_work(table.turn_of_other, "between", never))
    await settled()
    works.append(table.at_work(table.turn_of_one, "last", never))
    await settled()
    end.set()
    await asyncio.gather(*works)
    assert [note for note in table.notes if " " not in note] == ["first", "between", "last"]


async def test_who_waits_no_more_holds_nobody_up(table: Table) -> None:
    end, done = asyncio.Event(), asyncio.Event()
    done.set()
    work = table.at_work(table.turn_of_one, "work", end)
    await settled()
    waiting = table.at_work(table.turn_of_other, "never", done)
    await settled()
    more = table.at_work(table.turn_of_one, "more", done)
    await settled()
    assert not more.done()
    waiting.cancel()
    await asyncio.wait_for(more, 5)
    end.set()
    await work
    assert "never" not in table.notes


@pytest.mark.parametrize("where", ["one rests", "other wakes"])
async def test_a_turn_that_was_not_taken_is_nobodys(table: Table, where: str) -> None:
    async with table.turn_of_one:
        pass
    name, move = where.split()
    {"one": table.one, "other": table.other}[name].failures[move] = RuntimeError("out of memory")
    with pytest.raises(RuntimeError, match="out of memory"):
        async with table.turn_of_other:
            raise AssertionError("it has no memory")
    table.notes.clear()
    async with table.turn_of_one:  # what it was left in is not known
        table.notes.append("work")
    assert table.notes == ["other rests", "one wakes", "work"]


async def test_a_turn_that_is_given_up_while_it_is_taken_is_nobodys(table: Table) -> None:
    end = asyncio.Event()
    table.one.may_wake.clear()
    work = table.at_work(table.turn_of_one, "work", end)
    await settled()
    other = table.at_work(table.turn_of_other, "other work", end)
    await settled()
    assert table.notes == ["other rests"]
    work.cancel()
    end.set()
    await asyncio.wait_for(other, 5)
    assert table.notes == ["other rests", "one rests", "other wakes", "other work"]


async def test_an_error_at_work_leaves_the_turn_where_it_is(table: Table) -> None:
    with pytest.raises(ValueError, match="odd"):
        async with table.turn_of_one:
            raise ValueError("odd")
    async with table.turn_of_one:
        pass
    assert table.notes == ["other rests", "one wakes"]


async def test_all_that_a_learner_is_asked_is_asked_in_its_turn() -> None:
    notes: list[str] = []
    learner, turns = FakeLearner(), Turns()
    learner.note = notes.append
    engines = turns.join(Part("engines", notes))
    in_turns = LearnerInTurns(learner, turns)
    calls: dict[str, Callable[[], Any]] = {
        "keeps": in_turns.keep,
        "resumes": lambda: in_turns.resume(0, 0),
        "restores": lambda: in_turns.restore(0),
        "saves": lambda: in_turns.save("final"),
    }
    for noted, call in calls.items():
        async with engines:
            notes.clear()
        await in_turns.checkpoints()  # of the disk alone
        assert notes == []
        await call()
        assert notes == ["engines rests", "learner wakes", noted]
