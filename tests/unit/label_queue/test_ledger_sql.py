from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from label_queue.ledger.file import refuse_network_filesystem
from label_queue.ledger.records import ConnectorOffset, DeadLetter, LabelerToken, TokenRevocation
from label_queue.ledger.sql import SqlLedger, _engine
from label_queue.ledger.tables import STREAMS
from protocol.cord import Pulled
from protocol.errors import InputError, MissingError, ResourceError
from protocol.labels import ComparisonQuery, RewardVersion
from tests.support.labels import (
    make_assignment,
    make_cord_event,
    make_event,
    make_provenance,
    make_query,
    make_reward,
)
from tests.support.ledger_contract import LedgerContract


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[SqlLedger]:
    ledger = SqlLedger.open(path, "run-1")
    yield ledger
    ledger.close()


class TestSqlLedger(LedgerContract, of=SqlLedger):
    @pytest.fixture
    def ledger(self, ledger: SqlLedger) -> SqlLedger:
        return ledger


def test_holds_everything_after_a_restart_and_numbers_on(path: Path) -> None:
    query = make_query()
    first = SqlLedger.open(path, "run-1")
    first.write([query, make_assignment(query), make_event(query)])
    first.close()
    second = SqlLedger.open(path, "run-1")
    assert second.queries() == [query]
    assert [event.seq for event in second.events()] == [1]
    [event] = second.write([make_event(make_query(1))])
    assert event.seq == 2  # type: ignore[union-attr]
    second.close()


def test_commits_reach_the_disk_before_they_are_acknowledged(ledger: SqlLedger) -> None:
    pragmas = ledger._connection.exec_driver_sql  # what was asked for must also hold
    assert pragmas("PRAGMA journal_mode").scalar() == "wal"
    assert pragmas("PRAGMA synchronous").scalar() == 2  # FULL


@pytest.mark.parametrize("table", [stream.table.name for stream in STREAMS.values()] + ["run"])
def test_streams_are_append_only(ledger: SqlLedger, path: Path, table: str) -> None:
    query = make_query()
    ledger.write(
        [
            query,
            make_assignment(query),
            make_event(query),
            LabelerToken(token_sha256="ab", labeler_id="ann", created_at=1.0, expires_at=None),
            TokenRevocation(token_sha256="ab", at=1.0, reason="left"),
            make_cord_event(Pulled),
            make_reward(1, ledger_seq=1),
            make_provenance(1),
            ConnectorOffset(connector="c", offset="1", at=1.0),
            DeadLetter(received_at=1.0, labeler_id="", field="", message="", payload=""),
        ]
    )
    with closing(sqlite3.connect(path)) as connection:
        [(column,)] = connection.execute(f"SELECT name FROM pragma_table_info('{table}') LIMIT 1")
        for statement in (f"UPDATE {table} SET {column} = 7", f"DELETE FROM {table}"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(statement)


def test_a_failed_write_appends_nothing(ledger: SqlLedger) -> None:
    ledger.write([make_event(make_query())])
    pages = ledger._connection.exec_driver_sql("PRAGMA page_count").scalar()
    ledger._connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    ledger._connection.rollback()
    events = [make_event(make_query(i)) for i in range(1, 200)]
    with pytest.raises(ResourceError, match=r"ledger\.sqlite: labels cannot be stored .*full"):
        ledger.write(events)
    assert len(ledger.events()) == 1
    ledger._connection.exec_driver_sql("PRAGMA max_page_count=100000")
    ledger._connection.rollback()
    assert ledger.write(events)[-1].seq == 200  # type: ignore[union-attr]


def test_refuses_a_second_process(ledger: SqlLedger, path: Path) -> None:
    with pytest.raises(ResourceError, match="another process has this ledger open"):
        SqlLedger.open(path, "run-1")


def test_can_be_read_beside_its_writer(ledger: SqlLedger, path: Path) -> None:
    ledger.write([make_event(make_query())])
    reader = SqlLedger.open_to_read(path)
    assert reader.events() == ledger.events()
    with pytest.raises(ResourceError, match="readonly"):
        reader.write([make_event(make_query(1))])
    reader.close()


def test_refuses_the_ledger_of_another_run(ledger: SqlLedger, path: Path) -> None:
    ledger.close()
    with pytest.raises(InputError, match="is the ledger of run 'run-1', not 'run-2'"):
        SqlLedger.open(path, "run-2")
    SqlLedger.open(path, "run-1").close()


def test_refuses_a_file_that_is_no_ledger(path: Path) -> None:
    path.write_text("not a database, but long enough to be taken for one" * 100)
    with pytest.raises(InputError, match="not a label ledger"):
        SqlLedger.open(path, "run-1")
    with pytest.raises(InputError, match="not a label ledger"):
        SqlLedger.open_to_read(path)


def open_on_full_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Open a ledger with SQLite held to one page, its way to say that the disk is full."""

    def tiny_engine(path: Path) -> Engine:
        engine = _engine(path)
        pragma = "PRAGMA max_page_count=1"
        event.listen(engine, "connect", lambda connection, _: connection.execute(pragma))
        return engine

    with monkeypatch.context() as patch:
        patch.setattr("label_queue.ledger.sql._engine", tiny_engine)
        SqlLedger.open(path, "run-1")


def test_a_full_disk_at_opening_is_called_so_and_frees_the_lock(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ResourceError, match=r"ledger\.sqlite: cannot be opened .*full.*free space"):
        open_on_full_disk(path, monkeypatch)
    SqlLedger.open(path, "run-1").close()


def test_a_lock_that_cannot_be_made_is_named(path: Path) -> None:
    path.with_name("ledger.sqlite.lock").mkdir()
    with pytest.raises(ResourceError, match=r"ledger\.sqlite\.lock: cannot be written"):
        SqlLedger.open(path, "run-1")


def test_an_error_of_any_kind_at_opening_frees_the_lock(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("label_queue.ledger.sql.prepare", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            SqlLedger.open(path, "run-1")
    SqlLedger.open(path, "run-1").close()


def test_refuses_a_missing_folder_or_ledger(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="no such folder"):
        SqlLedger.open(tmp_path / "nowhere" / "ledger.sqlite", "run-1")
    with pytest.raises(MissingError, match="no such ledger"):
        SqlLedger.open_to_read(tmp_path / "ledger.sqlite")


def test_refuses_a_network_filesystem(tmp_path: Path) -> None:
    mounts = [("/", "ext4"), (str(tmp_path), "nfs4")]
    with pytest.raises(ResourceError, match="network filesystem \\(nfs4\\)"):
        refuse_network_filesystem(tmp_path / "ledger.sqlite", mounts)
    refuse_network_filesystem(tmp_path / "ledger.sqlite", [("/", "nfs"), (str(tmp_path), "ext4")])


def test_records_of_an_earlier_ledger_are_read() -> None:
    query, reward = make_query(), make_reward(1, ledger_seq=7)
    for kind, record, gone, new in (
        (ComparisonQuery, query, {"learned_through": 5, "learned_labels": 4}, ["ledger_seq"]),
        (RewardVersion, reward, {}, ["learned", "announced_at"]),
    ):
        adapter = STREAMS[kind].adapter
        body = adapter.dump_python(record, mode="json") | gone
        earlier = {name: value for name, value in body.items() if name not in new}
        assert adapter.validate_json(json.dumps(earlier)) == record


def test_the_list_of_a_fit_comes_back_as_it_went_in(tmp_path: Path) -> None:
    ledger = SqlLedger.open(tmp_path / "ledger.sqlite", "run-1")
    reward = replace(make_reward(1, ledger_seq=9, learned=(1, 2, 5)), announced_at=3.5)
    ledger.write([reward])
    assert ledger.read(RewardVersion) == [reward]
    ledger.close()
