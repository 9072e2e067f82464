from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from label_queue.ledger import group_commit
from label_queue.ledger.beginnings import the_label
from label_queue.ledger.group_commit import GroupCommit, Overtaken
from label_queue.ledger.records import Record
from label_queue.ledger.sql import SqlLedger
from protocol.errors import DiskFull, QueueClosed, ResourceError
from protocol.labels import Submitted
from tests.support.labels import make_event, make_query
from tests.support.ledger_stores import LedgerStore
from tests.support.memory_ledger import MemoryLedger


class SlowLedger(MemoryLedger):
    """Holds every write until it is let go on, and remembers their sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.started = threading.Event()
        self.go_on = threading.Event()
        self.sizes: list[int] = []

    def write(self, records: Sequence[Record]) -> list[Record]:
        self.sizes.append(len(records))
        self.started.set()
        assert self.go_on.wait(10.0)
        return super().write(records)


EVENTS = [make_event(make_query(i)) for i in range(6)]


async def test_what_comes_during_a_commit_is_committed_together() -> None:
    ledger, applied = SlowLedger(), list[Record]()
    commits = GroupCommit(ledger, applied.append)
    first = asyncio.create_task(commits.write(EVENTS[:1]))
    await asyncio.to_thread(ledger.started.wait, 10.0)
    others = [asyncio.create_task(commits.write([event])) for event in EVENTS[1:]]
    await asyncio.sleep(0)
    assert applied == []
    assert not first.done()
    ledger.go_on.set()
    written = [(await task)[0] for task in (first, *others)]
    assert ledger.sizes == [1, 5]
    assert written == applied == ledger.events()
    await commits.close()


async def test_what_rests_on_something_is_asked_when_all_before_it_is_taken_in() -> None:
    ledger, applied = SlowLedger(), list[Record]()
    commits = GroupCommit(ledger, applied.append)
    first = asyncio.create_task(commits.write(EVENTS[:1]))
    await asyncio.to_thread(ledger.started.wait, 10.0)
    known: list[int] = []

    def still() -> bool:
        known.append(len(applied))
        return len(applied) < 3

    plain = asyncio.create_task(commits.write(EVENTS[1:2]))
    resting = [asyncio.create_task(commits.write([event], still)) for event in EVENTS[2:5]]
    await asyncio.sleep(0)
    assert known == []
    ledger.go_on.set()
    assert await first + await plain == [applied[0], applied[2]]
    assert await resting[0] == [applied[1]]  # before what came to the same group
    for overtaken in resting[1:]:
        with pytest.raises(Overtaken):
            await overtaken
    assert known == [1, 3, 3]
    assert [event.event_id for event in ledger.events()] == [
        EVENTS[each].event_id for each in (0, 2, 1)
    ]
    await commits.close()


async def test_of_what_rests_on_something_each_has_a_commit_of_its_own() -> None:
    ledger = SlowLedger()
    ledger.go_on.set()
    commits = GroupCommit(ledger, lambda _: None)
    writers = [asyncio.create_task(commits.write([event], lambda: True)) for event in EVENTS[:3]]
    writers.append(asyncio.create_task(commits.write([EVENTS[3]])))
    await asyncio.gather(*writers)
    assert ledger.sizes == [2, 1, 1]
    await commits.close()


async def test_what_begins_once_shares_commits_and_the_second_is_told_once_the_first_is_known() -> (
    None
):
    ledger, applied = SlowLedger(), list[Record]()
    commits = GroupCommit(ledger, applied.append)
    first = asyncio.create_task(commits.write(EVENTS[:1], begins=[the_label("one")]))
    await asyncio.to_thread(ledger.started.wait, 10.0)
    second = asyncio.create_task(commits.write(EVENTS[1:2], begins=[the_label("one")]))
    others = [
        asyncio.create_task(commits.write([event], begins=[the_label(event.event_id)]))
        for event in EVENTS[2:]
    ]
    await asyncio.sleep(0)
    first.cancel()  # what it wrote is written all the same
    ledger.go_on.set()
    with pytest.raises(Overtaken):
        await second
    assert applied[0] == ledger.events()[0]
    await asyncio.gather(*others)
    assert ledger.sizes == [1, 4]
    await commits.write(EVENTS[1:2], begins=[the_label("one")])  # by who looked again
    await commits.close()


async def test_who_cannot_be_asked_is_told_and_so_are_all_who_wait() -> None:
    commits = GroupCommit(MemoryLedger(), lambda _: None)

    def still() -> bool:
        raise LookupError("no such label")

    writers = [commits.write([EVENTS[0]], still), commits.write([EVENTS[1]])]
    found = await asyncio.gather(*writers, return_exceptions=True)
    assert [type(each) for each in found] == [LookupError, LookupError]
    assert await commits.write([EVENTS[1]])
    await commits.close()


async def test_others_run_while_a_large_group_is_taken_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(group_commit, "APPLIED_AT_ONCE", 2)
    applied: list[Record] = []
    commits = GroupCommit(MemoryLedger(), applied.append)
    writer, seen = asyncio.create_task(commits.write(EVENTS)), set[int]()
    while not writer.done():
        seen.add(len(applied))
        await asyncio.sleep(0)
    assert {2, 4, 6} <= seen <= {0, 2, 4, 6}
    assert await writer == applied
    await commits.close()


async def test_others_run_while_many_writers_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "ACKNOWLEDGED_AT_ONCE", 2)
    ledger = SlowLedger()
    ledger.go_on.set()
    commits = GroupCommit(ledger, lambda _: None)
    writers, seen = [asyncio.create_task(commits.write([event])) for event in EVENTS], set[int]()
    while not all(writer.done() for writer in writers):
        seen.add(sum(writer.done() for writer in writers))
        await asyncio.sleep(0)
    assert ledger.sizes == [6]
    assert {2, 4} <= seen <= {0, 2, 4}
    assert [writer.result() for writer in writers] == [[event] for event in ledger.events()]
    await commits.close()


async def test_a_writer_that_was_cancelled_loses_nothing() -> None:
    ledger, applied = SlowLedger(), list[Record]()
    commits = GroupCommit(ledger, applied.append)
    writer = asyncio.create_task(commits.write(EVENTS[:2]))
    await asyncio.to_thread(ledger.started.wait, 10.0)
    writer.cancel()
    ledger.go_on.set()
    await commits.close()
    assert applied == ledger.events()
    assert len(applied) == 2


async def test_a_refused_commit_reaches_all_its_writers_and_later_ones_succeed() -> None:
    ledger, applied = MemoryLedger(), list[Record]()
    commits = GroupCommit(ledger, applied.append)
    ledger.is_full = True
    results = await asyncio.gather(
        *(commits.write([event]) for event in EVENTS), return_exceptions=True
    )
    assert [type(result) for result in results] == [DiskFull] * 6
    assert applied == []
    ledger.is_full = False
    await commits.write(EVENTS)
    assert len(applied) == 6
    await commits.close()


async def test_what_the_run_must_have_written_waits_for_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(group_commit, "TRIED_AGAIN_S", 0)
    ledger, applied = MemoryLedger(), list[Record]()
    commits = GroupCommit(ledger, applied.append)
    ledger.is_full = True
    waiting = asyncio.create_task(commits.write_patiently(EVENTS))
    with pytest.raises(DiskFull):
        await commits.write(EVENTS[:1])
    assert commits.room.want()
    assert not waiting.done()
    ledger.is_full = False
    assert await waiting == applied == ledger.events()
    assert commits.room.want() == ""
    await commits.close()
    with pytest.raises(QueueClosed, match="the run is over"):
        await commits.write_patiently(EVENTS)


async def test_a_state_that_could_not_take_in_what_was_written_ends_it_all() -> None:
    """It would go on without, and no writer would know: only a new start has all of the ledger."""
    ledger, told = MemoryLedger(), list[Exception]()
    lost = ResourceError("the connection was lost")

    def apply(record: Record) -> None:
        if isinstance(record, Submitted) and record.seq == 3:
            raise lost

    commits = GroupCommit(ledger, apply, left_behind=told.append)
    await commits.write(EVENTS[:2])
    writers = [asyncio.create_task(commits.write([event])) for event in EVENTS[2:4]]
    for writer in writers:
        with pytest.raises(ResourceError, match="connection was lost"):
            await writer
    assert told == [lost]
    with pytest.raises(ResourceError, match="once it is started again"):
        await commits.write(EVENTS[4:])
    assert len(ledger.events()) == 4  # what was written before it stays
    await commits.close()


async def test_closing_twice_is_allowed() -> None:
    commits = GroupCommit(MemoryLedger(), lambda record: None)
    assert commits.commit_p95_s == 0.0
    await commits.close()
    await commits.close()
    with pytest.raises(QueueClosed, match="the run is over"):
        await commits.write(EVENTS)


async def test_what_many_write_at_once_is_in_the_ledger_as_it_was_applied(
    ledger_store: LedgerStore,
) -> None:
    applied = list[Record]()
    commits = GroupCommit(SqlLedger.open(ledger_store.place, "run-1"), applied.append)
    written = await asyncio.gather(*(commits.write([event]) for event in EVENTS * 2))
    await commits.close()
    reader = SqlLedger.open_to_read(ledger_store.place)
    events = reader.events()
    reader.close()
    assert [event.seq for event in events] == [1, 2, 3, 4, 5, 6]
    assert [record for [record] in written] == applied == [*events, *events]


class InDoubt(MemoryLedger):
    """Refuses some writes though they stand, as a ledger whose connection was lost."""

    def __init__(self) -> None:
        super().__init__()
        self.is_away = False
        self._stands: list[Record] = []

    def write(self, records: Sequence[Record]) -> list[Record]:
        written = super().write(records)
        if self.is_away:
            self._stands += written
            raise ResourceError("the connection was lost")
        return written

    def settle(self) -> list[Record]:
        if self.is_away:
            raise ResourceError("the connection was lost")
        stands, self._stands = self._stands, []
        return stands


async def test_what_a_refused_group_began_has_begun_once_what_stands_is_applied() -> None:
    ledger, applied = InDoubt(), list[Record]()
    commits = GroupCommit(ledger, applied.append)
    ledger.is_away = True
    with pytest.raises(ResourceError, match="was lost"):
        await commits.write(EVENTS[:1], begins=[the_label("one")])
    ledger.is_away = False
    with pytest.raises(Overtaken):
        await commits.write(EVENTS[1:2], begins=[the_label("one")])
    assert applied == ledger.events()
    assert len(applied) == 1
    await commits.close()


async def test_what_stands_of_a_refused_group_is_applied_first_and_once() -> None:
    ledger, applied = InDoubt(), list[Record]()
    commits = GroupCommit(ledger, applied.append)
    await commits.write(EVENTS[:1])
    ledger.is_away = True
    for event in EVENTS[1:3]:
        with pytest.raises(ResourceError, match="was lost"):
            await commits.write([event])
    assert applied == ledger.events()[:1]
    ledger.is_away = False
    await commits.write(EVENTS[3:])
    assert applied == ledger.events()
    assert len(applied) == 5  # what was refused by `settle` was never written
    await commits.close()
