"""A refused answer is counted and kept once, however often its tool is read and the run starts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from label_queue.config import IntakeConfig
from label_queue.connector_config import JsonlConfig
from label_queue.connectors.ingest import IngestCounts
from label_queue.connectors.port import Sweep, Unreadable
from label_queue.ledger.records import DeadLetter, RefusedAnswer
from label_queue.ledger.sql import SqlLedger
from protocol.errors import ResourceError
from tests.support.labels import ManualClock
from tests.support.ledger_stores import LedgerStore
from tests.support.memory_ledger import MemoryLedger
from tests.support.outside import OutsideRun

NORTH, SOUTH = (
    JsonlConfig(kind="jsonl", name=name, path=Path(f"{name}.jsonl")) for name in ("north", "south")
)
ODD = Unreadable(
    external_id="5",
    payload_sha256="ab" * 32,
    field="result",
    message="nothing was chosen",
    payload="{}",
)


@pytest.fixture
def ledger(ledger_store: LedgerStore) -> Iterator[SqlLedger]:
    ledger = SqlLedger.open(ledger_store.place, "run-1")
    yield ledger
    ledger.close()


def start(ledger: SqlLedger | MemoryLedger, max_dead_letters: int = 3) -> OutsideRun:
    limits = IntakeConfig(max_dead_letters=max_dead_letters)
    return OutsideRun(ledger, [NORTH, SOUTH], ManualClock(), limits)


async def read(run: OutsideRun, *answers: Unreadable, of: str = "north") -> IngestCounts:
    return await run.labels.ingest(of, Sweep(answers=answers, is_complete=True))


async def test_over_all_starts_there_is_one_copy(ledger: SqlLedger) -> None:
    assert await read(start(ledger), ODD) == IngestCounts(refused=1)
    for _ in range(4):
        run = start(ledger)
        assert await read(run, ODD) == IngestCounts(duplicate=1)
        assert await read(run, ODD) == IngestCounts(duplicate=1)
    [letter] = ledger.read(DeadLetter)
    assert letter.answer == RefusedAnswer(
        connector="north", external_id="5", payload_sha256="ab" * 32
    )


async def test_a_changed_answer_is_another_and_so_is_another_tool_s(ledger: SqlLedger) -> None:
    changed = replace(ODD, payload_sha256="cd" * 32)
    assert await read(start(ledger), ODD) == IngestCounts(refused=1)
    assert await read(start(ledger), ODD, changed) == IngestCounts(refused=1, duplicate=1)
    assert await read(start(ledger), ODD, of="south") == IngestCounts(refused=1)
    assert len(ledger.read(DeadLetter)) == 3


async def test_where_there_is_no_room_it_counts_once_a_start() -> None:
    ledger = MemoryLedger()
    for _ in range(2):
        run = start(ledger, max_dead_letters=0)
        assert await read(run, ODD) == IngestCounts(refused=1)
        assert await read(run, ODD, ODD) == IngestCounts(duplicate=2)
    assert ledger.read(DeadLetter) == []


async def test_what_the_disk_refused_is_kept_when_it_takes_it() -> None:
    ledger = MemoryLedger()
    run = start(ledger)
    ledger.is_full = True
    with pytest.raises(ResourceError):
        await read(run, ODD)
    ledger.is_full = False
    assert await read(run, ODD) == IngestCounts(refused=1)
    assert len(ledger.read(DeadLetter)) == 1


async def test_copies_of_older_versions_are_read_and_count(ledger: SqlLedger) -> None:
    old = {"received_at": 1.0, "labeler_id": "north", "field": "", "message": "", "payload": "{}"}
    kind = TypeAdapter(DeadLetter)
    letter = kind.validate_python(old)
    assert letter.answer is None
    # What comes over HTTP is written as before, too.
    assert json.loads(kind.dump_json(letter)) == old
    ledger.write([letter])
    run = start(ledger, max_dead_letters=1)
    # Of which answer it is a copy, it does not say.
    assert await read(run, ODD) == IngestCounts(refused=1)
    assert ledger.read(DeadLetter) == [letter]
