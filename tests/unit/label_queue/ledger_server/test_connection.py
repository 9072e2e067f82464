"""A ledger whose connection to its server is lost: no label is doubled, and none promised lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from label_queue.ledger import sql
from label_queue.ledger.group_commit import GroupCommit
from label_queue.ledger.records import ConnectorOffset, DeadLetter, Record
from label_queue.ledger.sql import SqlLedger
from protocol.errors import IntegrityError, ResourceError
from protocol.labels import LabelEvent
from tests.support.cut_wire import Cut, CutWire
from tests.support.labels import make_event, make_query
from tests.support.postgres_server import PostgresServer

EVENTS = [make_event(make_query(number)) for number in range(6)]
LETTER = DeadLetter(received_at=0.0, labeler_id="", field="", message="", payload="")
OFFSET = ConnectorOffset(connector="c", offset="1", at=0.0)
KEYLESS: list[Record] = [LETTER, OFFSET]
"""Records that no key would keep from being written twice."""


@pytest.fixture
def wire(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CutWire]:
    folder = Path(tmp_path_factory.mktemp("w"))
    with CutWire(folder, postgres.socket) as wire:
        yield wire


@pytest.fixture
def through_wire(url: str, wire: CutWire, postgres: PostgresServer) -> Iterator[SqlLedger]:
    """A ledger over the wire that can be cut."""
    ledger = SqlLedger.open(url.replace(str(postgres.socket), str(wire.folder)), "run-1")
    yield ledger
    wire.is_down = False
    ledger.close()


def seen(url: str) -> tuple[list[int], int, int]:
    """Numbers of the events, and how many dead letters and offsets there are, read anew."""
    reader = SqlLedger.open_to_read(url)
    try:
        events = [event.seq for event in reader.events()]
        return events, len(reader.read(DeadLetter)), len(reader.read(ConnectorOffset))
    finally:
        reader.close()


def seqs(written: Sequence[Record]) -> list[int]:
    return [each.seq for each in written if isinstance(each, LabelEvent)]


@pytest.mark.parametrize("cut", ["before", "after"])
def test_a_commit_cut_off_lands_once(
    through_wire: SqlLedger, wire: CutWire, url: str, cut: Cut
) -> None:
    through_wire.write([EVENTS[0], *KEYLESS])
    wire.cut_next(cut)
    assert seqs(through_wire.write([*EVENTS[1:3], *KEYLESS])) == [2, 3]
    assert wire.num_cuts == 1
    assert seen(url) == ([1, 2, 3], 2, 2)
    assert seqs(through_wire.write(EVENTS)) == [1, 2, 3, 4, 5, 6]
    assert seen(url) == ([1, 2, 3, 4, 5, 6], 2, 2)


@pytest.mark.parametrize("cut", ["before", "after"])
async def test_what_was_refused_and_stands_is_applied_before_what_follows(
    through_wire: SqlLedger,
    wire: CutWire,
    url: str,
    cut: Cut,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sql, "RECONNECT_S", 0.0)
    applied = list[Record]()
    commits = GroupCommit(through_wire, applied.append)
    first = await commits.write([EVENTS[0]])
    wire.cut_next(cut)
    wire.is_down = True
    with pytest.raises(ResourceError, match="cannot be opened"):
        await commits.write([EVENTS[1], LETTER])
    with pytest.raises(ResourceError, match="cannot be opened"):
        await commits.write([EVENTS[2]])
    assert applied == first
    wire.is_down = False

    written = await commits.write([EVENTS[2]])

    stands = cut == "after"
    assert seqs(written) == [3 if stands else 2]
    assert seqs(applied) == ([1, 2, 3] if stands else [1, 2])
    assert seen(url) == (([1, 2, 3], 1, 0) if stands else ([1, 2], 0, 0))
    # Whoever was refused may send it again, and it is there once.
    again = await commits.write([EVENTS[1]])
    assert seqs(again) == [2 if stands else 3]
    assert seen(url)[0] == [1, 2, 3]
    await commits.close()


def test_a_backend_that_is_ended_in_the_middle_loses_and_doubles_nothing(
    ledger: SqlLedger, postgres: PostgresServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[int] = []

    def end_once(point: str) -> None:
        if point == "ledger.before_commit" and not ended:
            ended.append(postgres.end_writers())

    ledger.write([EVENTS[0], LETTER])
    monkeypatch.setattr(sql, "reach", end_once)
    assert seqs(ledger.write([EVENTS[1], LETTER])) == [2]
    assert ended == [1]
    assert seen(url) == ([1, 2], 2, 0)


def test_a_backend_that_is_ended_between_writes_is_not_noticed(
    ledger: SqlLedger, postgres: PostgresServer, url: str
) -> None:
    for number, event in enumerate(EVENTS, start=1):
        assert postgres.end_writers() == 1
        assert seqs(ledger.write([event, LETTER])) == [number]
    assert seen(url) == ([1, 2, 3, 4, 5, 6], 6, 0)


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_server_that_is_restarted_keeps_what_was_promised(
    ledger: SqlLedger,
    postgres: PostgresServer,
    url: str,
    mode: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    restarted: list[str] = []

    def restart_once(point: str) -> None:
        if point == "ledger.before_commit" and not restarted:
            restarted.append(point)
            postgres.stop(mode)
            postgres.start()

    ledger.write([*EVENTS[:2], LETTER])
    postgres.stop(mode)
    postgres.start()
    assert seqs(ledger.write([EVENTS[2], LETTER])) == [3]
    monkeypatch.setattr(sql, "reach", restart_once)
    assert seqs(ledger.write([*EVENTS[2:4], LETTER])) == [3, 4]
    assert restarted
    assert seen(url) == ([1, 2, 3, 4], 3, 0)


def test_while_the_server_is_away_writes_are_refused_and_later_ones_succeed(
    ledger: SqlLedger, postgres: PostgresServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "RECONNECT_S", 0.0)
    ledger.write([EVENTS[0]])
    postgres.stop()
    try:
        for _ in range(2):
            with pytest.raises(ResourceError) as told:
                ledger.write([EVENTS[1], LETTER])
            assert str(told.value).startswith(f"{url}: cannot be opened")
        with pytest.raises(ResourceError, match="cannot be opened"):
            ledger.events()
    finally:
        postgres.start()
    assert ledger.settle() == []
    assert seqs(ledger.write([EVENTS[1], LETTER])) == [2]
    assert seen(url) == ([1, 2], 1, 0)


def test_a_reader_whose_connection_is_lost_is_told_and_the_writer_reads_again(
    ledger: SqlLedger, postgres: PostgresServer
) -> None:
    written = ledger.write(EVENTS)
    postgres.end_writers()
    with pytest.raises(ResourceError, match="terminating connection"):
        ledger.events()
    assert ledger.events() == written
    assert ledger.settle() == []


def test_whoever_wrote_meanwhile_ends_the_one_who_was_away(
    ledger: SqlLedger, postgres: PostgresServer, url: str
) -> None:
    ledger.write([EVENTS[0]])
    postgres.end_writers()
    other = SqlLedger.open(url, "run-1")
    other.write([EVENTS[1]])
    other.close()
    for _ in range(2):
        with pytest.raises(IntegrityError, match="another process wrote to this ledger"):
            ledger.write([EVENTS[2]])
    assert seen(url)[0] == [1, 2]


def test_who_took_the_ledger_meanwhile_is_told(
    ledger: SqlLedger, postgres: PostgresServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "RECONNECT_S", 0.0)
    postgres.end_writers()
    other = SqlLedger.open(url, "run-1")
    with pytest.raises(ResourceError, match="another process has this ledger open"):
        ledger.write([EVENTS[0]])
    other.close()
    assert seqs(ledger.write([EVENTS[0]])) == [1]


def test_as_many_records_of_somebody_else_s_are_not_taken_for_ours(
    ledger: SqlLedger, postgres: PostgresServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.write([EVENTS[0]])

    def write_another(point: str) -> None:
        monkeypatch.setattr(sql, "reach", lambda _: None)
        assert postgres.end_writers() == 1
        other = SqlLedger.open(url, "run-1")
        other.write([EVENTS[1]])
        other.close()

    monkeypatch.setattr(sql, "reach", write_another)
    with pytest.raises(IntegrityError, match="another process wrote to this ledger"):
        ledger.write([EVENTS[2]])
    assert seen(url)[0] == [1, 2]
