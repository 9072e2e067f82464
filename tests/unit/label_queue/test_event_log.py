"""Label events of which only the newest are in memory, counted by what is read from disk."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import replace

import pytest

from label_queue.folds.event_log import READ_AT_ONCE, EventLog, Picked
from protocol.labels import LabelEvent, Submitted
from tests.support.labels import make_event, make_query

EVENTS = [replace(make_event(make_query(number)), seq=number + 1) for number in range(2_000)]


class Disk:
    """All events, and what was read of them."""

    def __init__(self) -> None:
        self.reads: list[list[int]] = []

    def read(self, seqs: Sequence[int]) -> list[LabelEvent]:
        assert sorted(set(seqs)) == list(seqs), "rising, each once"
        self.reads.append(list(seqs))
        return [EVENTS[seq - 1] for seq in seqs]


@pytest.fixture
def disk() -> Disk:
    return Disk()


def log_of(count: int, disk: Disk | None, most_held: int = 3) -> EventLog:
    log = EventLog(None if disk is None else disk.read, most_held=most_held)
    for event in EVENTS[:count]:
        log.append(event)
    return log


def test_the_newest_are_in_memory_and_no_more(disk: Disk) -> None:
    log = log_of(20, disk)
    assert len(log) == log.last_seq == 20
    assert 3 <= log.num_held <= 6
    assert [log[-1], log.of(19), *log[17:]] == [EVENTS[19], EVENTS[18], *EVENTS[17:20]]
    assert disk.reads == []


def test_older_ones_are_read(disk: Disk) -> None:
    log = log_of(20, disk)
    assert log.of(4) == log[3] == log[-17] == EVENTS[3]
    assert disk.reads == [[4]] * 3
    with pytest.raises(IndexError):
        log[20]


def test_some_are_read_together_and_come_in_the_order_asked_for(disk: Disk) -> None:
    log = log_of(20, disk)
    assert [each.seq for each in log.each([20, 4, 2, 4, 19])] == [20, 4, 2, 4, 19]
    assert disk.reads == [[2, 4]]
    assert log[2:5] == EVENTS[2:5]
    assert log[5:2] == []


def test_all_are_read_some_at_a_time(disk: Disk) -> None:
    log = log_of(2_000, disk)
    assert list(log) == EVENTS
    assert max(map(len, disk.reads)) == READ_AT_ONCE
    assert len(disk.reads) == 4


def test_without_a_disk_all_are_held() -> None:
    log = log_of(20, None)
    assert log.num_held == 20
    assert list(log) == EVENTS[:20]
    assert EventLog().last_seq == 0


def test_one_that_only_knows_how_many_there_are_reads_what_it_is_asked_for(disk: Disk) -> None:
    log = EventLog(disk.read, most_held=3)
    log._count = 10  # as of a snapshot
    assert log.of(10) == EVENTS[9]
    log.hold_newest()
    disk.reads.clear()
    assert log[7:] == EVENTS[7:10]
    assert disk.reads == []
    again = EventLog(disk.read, most_held=3)
    again._count = 10
    again.append(EVENTS[10])
    assert (again.num_held, again[-1], again.of(2)) == (1, EVENTS[10], EVENTS[1])


def test_a_view_stays_as_it_was(disk: Disk) -> None:
    log = log_of(10, disk)
    then = log.up_to_now()
    for event in EVENTS[10:20]:
        log.append(event)
    assert list(then) == EVENTS[:10]
    assert (len(then), then[-1], then[8:]) == (10, EVENTS[9], EVENTS[8:10])
    assert list(reversed(then)) == EVENTS[9::-1]
    assert list(then.each([3, 1])) == [EVENTS[2], EVENTS[0]]
    with pytest.raises(IndexError):
        then[10]


def test_some_by_their_numbers_see_what_is_added_to_them(disk: Disk) -> None:
    log, seqs = log_of(10, disk), array("i", [2, 5])
    picked = Picked[Submitted](log, seqs)
    seqs.append(9)
    assert (len(picked), picked[-1], picked[0]) == (3, EVENTS[8], EVENTS[1])
    assert list(picked) == picked[:] == [EVENTS[1], EVENTS[4], EVENTS[8]]
    assert list(reversed(picked[1:])) == [EVENTS[8], EVENTS[4]]
