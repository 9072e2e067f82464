"""The version of a ledger's tables: read at every opening, and brought up to ours or refused."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from label_queue.ledger import schema
from label_queue.ledger.records import LabelerToken
from label_queue.ledger.schema import SCHEMA_VERSION
from label_queue.ledger.sql import SqlLedger
from label_queue.ledger.tables import STREAMS
from protocol.cord import Pulled
from protocol.errors import InputError, SchemaMismatch
from protocol.labels import Assignment, ComparisonQuery, LabelEvent
from tests.support.labels import make_assignment, make_cord_event, make_event, make_query

APPEND_ONLY = "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
FIRST_TABLES = (
    "run (run_id VARCHAR NOT NULL PRIMARY KEY, schema_version INTEGER NOT NULL)",
    "queries (position INTEGER NOT NULL PRIMARY KEY, query_id VARCHAR NOT NULL UNIQUE, "
    "purpose VARCHAR NOT NULL, created_at FLOAT NOT NULL, body TEXT NOT NULL)",
    "assignments (position INTEGER NOT NULL PRIMARY KEY, assignment_id VARCHAR NOT NULL UNIQUE, "
    "query_id VARCHAR NOT NULL, labeler_id VARCHAR NOT NULL, created_at FLOAT NOT NULL, "
    "body TEXT NOT NULL)",
    "label_events (seq INTEGER NOT NULL PRIMARY KEY, event_id VARCHAR NOT NULL UNIQUE, "
    "type VARCHAR NOT NULL, query_id VARCHAR NOT NULL, labeler_id VARCHAR NOT NULL, "
    "received_at FLOAT NOT NULL, body TEXT NOT NULL)",
    "tokens (position INTEGER NOT NULL PRIMARY KEY, token_sha256 VARCHAR NOT NULL UNIQUE, "
    "labeler_id VARCHAR NOT NULL, body TEXT NOT NULL)",
    "dead_letters (position INTEGER NOT NULL PRIMARY KEY, labeler_id VARCHAR NOT NULL, "
    "received_at FLOAT NOT NULL, body TEXT NOT NULL)",
)
QUERY = make_query()
OPEN: tuple[Callable[[Path], SqlLedger], ...] = (
    lambda path: SqlLedger.open(path, "run-1"),
    SqlLedger.open_to_read,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def make_first(path: Path, *, run: tuple[object, ...] | None = ("run-1", 1)) -> None:
    """A ledger as the first version of the tables had it, with a query, its label and a token."""
    with closing(sqlite3.connect(path)) as connection:
        for table in FIRST_TABLES:
            name = table.split()[0]
            connection.execute(f"CREATE TABLE {table}")
            for verb in ("UPDATE", "DELETE"):
                connection.execute(
                    f"CREATE TRIGGER {name}_no_{verb.lower()} BEFORE {verb} ON {name} {APPEND_ONLY}"
                )
        if run is not None:
            connection.execute("INSERT INTO run VALUES (?, ?)", run)
        for kind, record in (
            (ComparisonQuery, QUERY),
            (Assignment, make_assignment(QUERY)),
            (LabelEvent, make_event(QUERY, seq=1)),
        ):
            row = STREAMS[kind].row(record, 1)
            marks = ",".join("?" * len(row))
            connection.execute(
                f"INSERT INTO {STREAMS[kind].table.name} ({','.join(row)}) VALUES ({marks})",
                tuple(row.values()),
            )
        token = '{"token_sha256":"ab","labeler_id":"ann","created_at":1.0,"expires_at":null}'
        connection.execute("INSERT INTO tokens VALUES (1, 'ab', 'ann', ?)", (token,))
        connection.commit()


def version_in(path: Path) -> object:
    with closing(sqlite3.connect(path)) as connection:
        [(version,)] = connection.execute("SELECT schema_version FROM run")
    return version


def tables_in(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}


def check_content(ledger: SqlLedger) -> None:
    assert ledger.queries() == [QUERY]
    assert ledger.assignments() == [make_assignment(QUERY)]
    assert ledger.events() == [make_event(QUERY, seq=1)]
    assert ledger.read(LabelerToken) == [
        LabelerToken(token_sha256="ab", labeler_id="ann", created_at=1.0, expires_at=None)
    ]
    assert ledger.cord_events() == []


def test_a_new_ledger_says_its_version(path: Path) -> None:
    SqlLedger.open(path, "run-1").close()
    assert version_in(path) == SCHEMA_VERSION


@pytest.mark.parametrize("run", [("run-1", 1), None], ids=["says so", "judged by its tables"])
def test_an_older_ledger_is_brought_up_to_date(path: Path, run: tuple[object, ...] | None) -> None:
    make_first(path, run=run)
    ledger = SqlLedger.open(path, "run-1")
    check_content(ledger)
    pull = make_cord_event(Pulled)
    new = LabelerToken(token_sha256="cd", labeler_id="olga", created_at=2.0, expires_at=None)
    ledger.write([pull, new, make_event(make_query(1))])
    ledger.close()

    assert version_in(path) == SCHEMA_VERSION
    again = SqlLedger.open(path, "run-1")
    assert [event.seq for event in again.events()] == [1, 2]
    assert again.cord_events() == [pull]
    again.close()
    with closing(sqlite3.connect(path)) as connection:
        kinds = connection.execute("SELECT role, kind FROM tokens").fetchall()
        assert kinds == [("labeler", "token")] * 2
        for table in ("run", "tokens", "cord_events"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(f"DELETE FROM {table}")
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute("UPDATE run SET schema_version = 7")


def test_an_older_ledger_is_read_without_changing_it(path: Path) -> None:
    make_first(path)
    before = tables_in(path)
    reader = SqlLedger.open_to_read(path)
    check_content(reader)
    reader.close()
    assert version_in(path) == 1
    assert tables_in(path) == before


def test_a_crash_half_way_leaves_the_older_ledger(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_first(path)
    before = tables_in(path)
    with monkeypatch.context() as patch:
        patch.setattr(schema, "_note_version", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            SqlLedger.open(path, "run-1")
    assert version_in(path) == 1
    assert tables_in(path) == before
    ledger = SqlLedger.open(path, "run-1")
    check_content(ledger)
    ledger.close()


def test_another_runs_older_ledger_is_left_as_it_was(path: Path) -> None:
    make_first(path)
    before = tables_in(path)
    with pytest.raises(InputError, match="is the ledger of run 'run-1', not 'run-2'"):
        SqlLedger.open(path, "run-2")
    assert (version_in(path), tables_in(path)) == (1, before)


@pytest.mark.parametrize("open_ledger", OPEN, ids=["to write", "to read"])
@pytest.mark.parametrize(
    ("says", "kind", "problem"),
    [
        (3, SchemaMismatch, r"ledger\.sqlite: schema_version: is 3, this is 2; use the version of"),
        (0, InputError, r"ledger\.sqlite: schema_version: is 0, and none before 2 was called so"),
        ("two", InputError, r"schema_version: is 'two', .* put a whole copy back"),
    ],
)
def test_a_newer_or_unknown_ledger_is_refused_by_name_and_left_as_it_was(
    path: Path,
    open_ledger: Callable[[Path], SqlLedger],
    says: object,
    kind: type[Exception],
    problem: str,
) -> None:
    make_first(path, run=("run-1", says))
    before = tables_in(path)
    with pytest.raises(InputError, match=problem) as refused:
        open_ledger(path)
    assert type(refused.value) is kind
    assert (version_in(path), tables_in(path)) == (says, before)


@pytest.mark.parametrize("open_ledger", OPEN, ids=["to write", "to read"])
def test_another_programs_database_is_no_ledger(
    path: Path, open_ledger: Callable[[Path], SqlLedger]
) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE run (distance FLOAT)")
        connection.execute("CREATE TABLE shoes (size INTEGER)")
        connection.commit()
    with pytest.raises(InputError, match=r"not a label ledger \(it holds the table 'run'"):
        open_ledger(path)
    assert tables_in(path) == {"run", "shoes"}


def test_an_empty_file_becomes_a_ledger_and_is_none_to_read(path: Path) -> None:
    path.touch()
    with pytest.raises(InputError, match=r"not a label ledger \(it holds no tables"):
        SqlLedger.open_to_read(path)
    SqlLedger.open(path, "run-1").close()
    assert version_in(path) == SCHEMA_VERSION


def test_a_ledger_whose_making_was_cut_short_is_gone_on_with(path: Path) -> None:
    whole = path.with_name("whole.sqlite")
    SqlLedger.open(whole, "run-1").close()
    with closing(sqlite3.connect(whole)) as connection:
        made = [sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master") if sql]
    with closing(sqlite3.connect(path)) as connection:
        for statement in made[:4]:
            connection.execute(statement)
        connection.commit()
    ledger = SqlLedger.open(path, "run-1")
    ledger.write([make_event(QUERY)])
    ledger.close()
    assert tables_in(path) == tables_in(whole)
    assert version_in(path) == SCHEMA_VERSION
