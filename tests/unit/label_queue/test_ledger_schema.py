"""The version of a ledger's tables: read at every opening, and brought up to ours or refused."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, insert, inspect

from label_queue.ledger import schema
from label_queue.ledger.postgres import PostgresStore
from label_queue.ledger.records import LabelerToken, RoleChange
from label_queue.ledger.schema import MIGRATIONS, SCHEMA_VERSION, upgrade
from label_queue.ledger.sql import SqlLedger
from label_queue.ledger.stores import store_to_write
from label_queue.ledger.tables import STREAMS, metadata
from label_queue.ledger_place import LedgerPlace
from protocol.cord import Pulled
from protocol.errors import InputError, SchemaMismatch
from protocol.labels import Assignment, ComparisonQuery, LabelEvent, PolicyProvenance
from tests.support.labels import (
    make_assignment,
    make_cord_event,
    make_event,
    make_provenance,
    make_query,
    make_role_change,
)
from tests.support.ledger_stores import FileStore, LedgerStore, ServerStore
from tests.support.postgres_server import PostgresServer

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
"""As the first version made them in a file; on a server, only steps ever made them."""
QUERY = make_query()
OPEN: tuple[Callable[[LedgerPlace], SqlLedger], ...] = (
    lambda place: SqlLedger.open(place, "run-1"),
    SqlLedger.open_to_read,
)
RECORDS = (
    (ComparisonQuery, QUERY),
    (Assignment, make_assignment(QUERY)),
    (LabelEvent, make_event(QUERY, seq=1)),
)
TOKEN = '{"token_sha256":"ab","labeler_id":"ann","created_at":1.0,"expires_at":null}'


@contextmanager
def connected(store: LedgerStore) -> Iterator[Connection]:
    """A connection in a transaction, as the ledger's own are made."""
    database = store_to_write(store.place, "run-1")
    try:
        connection = database.connect()
        with connection.begin():
            database.begin_making(connection)
            yield connection
    finally:
        database.close()


def make_first(store: LedgerStore, *, run: tuple[str, object] | None = ("run-1", 1)) -> None:
    """A ledger as the first version of the tables had it, with a query, its label and a token."""
    with connected(store) as connection:
        if isinstance(store, FileStore):
            for first in FIRST_TABLES:
                connection.exec_driver_sql(f"CREATE TABLE {first}")
        else:
            upgrade(connection, None, 1)
        tables = inspect(connection).get_table_names()
        store_to_write(store.place, "run-1").make_append_only(connection, tables)
        for kind, record in RECORDS:
            connection.execute(insert(STREAMS[kind].table), [STREAMS[kind].row(record, 1)])
        connection.exec_driver_sql(f"INSERT INTO tokens VALUES (1, 'ab', 'ann', '{TOKEN}')")
        if run is not None:
            connection.exec_driver_sql(f"INSERT INTO run VALUES ('{run[0]}', {run[1]!r})")


def version_in(store: LedgerStore) -> object:
    [(version,)] = store.execute("SELECT schema_version FROM run")
    return version


def check_content(ledger: SqlLedger) -> None:
    assert ledger.queries() == [QUERY]
    assert ledger.assignments() == [make_assignment(QUERY)]
    assert ledger.events() == [make_event(QUERY, seq=1)]
    assert ledger.read(LabelerToken) == [
        LabelerToken(token_sha256="ab", labeler_id="ann", created_at=1.0, expires_at=None)
    ]
    assert ledger.cord_events() == []


def test_the_newest_revision_is_our_version() -> None:
    assert ScriptDirectory(str(MIGRATIONS)).get_heads() == [str(SCHEMA_VERSION)]


@pytest.mark.parametrize("first", range(1, SCHEMA_VERSION + 1))
def test_the_steps_from_every_version_lead_to_the_tables_of_ours(
    ledger_store: LedgerStore, first: int
) -> None:
    with connected(ledger_store) as connection:
        upgrade(connection, None, first)
        upgrade(connection, first, SCHEMA_VERSION)
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_a_difference_from_our_tables_would_be_seen(ledger_store: LedgerStore) -> None:
    with connected(ledger_store) as connection:
        upgrade(connection, None, 1)
        context = MigrationContext.configure(connection)
        found = {change[0] for change in compare_metadata(context, metadata)}
    assert {"add_table", "add_column"} <= found


def test_the_first_step_makes_what_the_first_version_made(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    shipped, stepped = (FileStore(tmp_path_factory.mktemp(name)) for name in ("shipped", "stepped"))
    make_first(shipped)
    with connected(stepped) as connection:
        upgrade(connection, None, 1)
    for first in FIRST_TABLES:
        name = first.split()[0]
        columns = f"SELECT name, type, \"notnull\", pk FROM pragma_table_info('{name}')"
        assert shipped.execute(columns) == stepped.execute(columns)


def test_a_new_ledger_says_its_version(ledger_store: LedgerStore) -> None:
    SqlLedger.open(ledger_store.place, "run-1").close()
    assert version_in(ledger_store) == SCHEMA_VERSION


@pytest.mark.parametrize("run", [("run-1", 1), None], ids=["says so", "judged by its tables"])
def test_an_older_ledger_is_brought_up_to_date(
    ledger_store: LedgerStore, run: tuple[str, object] | None
) -> None:
    make_first(ledger_store, run=run)
    ledger = SqlLedger.open(ledger_store.place, "run-1")
    check_content(ledger)
    pull = make_cord_event(Pulled)
    new = LabelerToken(token_sha256="cd", labeler_id="olga", created_at=2.0, expires_at=None)
    change = make_role_change()
    ledger.write([pull, new, change, make_event(make_query(1))])
    ledger.close()

    assert version_in(ledger_store) == SCHEMA_VERSION
    again = SqlLedger.open(ledger_store.place, "run-1")
    assert [event.seq for event in again.events()] == [1, 2]
    assert again.cord_events() == [pull]
    assert again.read(RoleChange) == [change]
    again.close()
    kinds = ledger_store.execute("SELECT role, kind FROM tokens")
    assert kinds == [("labeler", "token")] * 2
    statements = [f"DELETE FROM {name}" for name in ("run", "tokens", "cord_events")]
    for statement in (*statements, "UPDATE run SET schema_version = 7"):
        with pytest.raises(ledger_store.refusal, match="append-only"):
            ledger_store.execute(statement)


@pytest.mark.parametrize("first", [2, 3])
def test_policy_versions_of_older_ledgers_do_not_say_how_far_they_came(
    ledger_store: LedgerStore, first: int
) -> None:
    """Version 1 had none. What records say is no part of the tables' version."""
    older, newer = make_provenance(1), make_provenance(2, moved_kl=0.75)
    stream = STREAMS[PolicyProvenance]
    row = stream.row(older, 1)
    body = json.loads(str(row["body"]))
    assert body.pop("moved_kl", "") is None
    with connected(ledger_store) as connection:
        upgrade(connection, None, first)
        connection.execute(insert(stream.table), [{**row, "body": json.dumps(body)}])
        connection.exec_driver_sql(f"INSERT INTO run VALUES ('run-1', {first})")
    ledger = SqlLedger.open(ledger_store.place, "run-1")
    ledger.write([newer])
    assert ledger.read(PolicyProvenance) == [older, newer]
    ledger.close()


def test_an_older_ledger_is_read_without_changing_it(ledger_store: LedgerStore) -> None:
    make_first(ledger_store)
    before = ledger_store.tables()
    reader = SqlLedger.open_to_read(ledger_store.place)
    check_content(reader)
    reader.close()
    assert version_in(ledger_store) == 1
    assert ledger_store.tables() == before


def test_a_crash_half_way_leaves_the_older_ledger(
    ledger_store: LedgerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_first(ledger_store)
    before = ledger_store.tables()
    with monkeypatch.context() as patch:
        patch.setattr(schema, "_note_version", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            SqlLedger.open(ledger_store.place, "run-1")
    assert version_in(ledger_store) == 1
    assert ledger_store.tables() == before
    ledger = SqlLedger.open(ledger_store.place, "run-1")
    check_content(ledger)
    ledger.close()


def test_another_runs_older_ledger_is_left_as_it_was(ledger_store: LedgerStore) -> None:
    make_first(ledger_store)
    before = ledger_store.tables()
    with pytest.raises(InputError, match="is the ledger of run 'run-1', not 'run-2'"):
        SqlLedger.open(ledger_store.place, "run-2")
    assert (version_in(ledger_store), ledger_store.tables()) == (1, before)


@pytest.mark.parametrize("open_ledger", OPEN, ids=["to write", "to read"])
@pytest.mark.parametrize(
    ("says", "kind", "problem"),
    [
        (4, SchemaMismatch, r": schema_version: is 4, this is 3; use the version of"),
        (0, InputError, r": schema_version: is 0, and none before 3 was called so"),
    ],
)
def test_a_newer_or_unknown_ledger_is_refused_by_name_and_left_as_it_was(
    ledger_store: LedgerStore,
    open_ledger: Callable[[LedgerPlace], SqlLedger],
    says: object,
    kind: type[Exception],
    problem: str,
) -> None:
    make_first(ledger_store, run=("run-1", says))
    before = ledger_store.tables()
    with pytest.raises(InputError, match=problem) as refused:
        open_ledger(ledger_store.place)
    assert type(refused.value) is kind
    assert str(refused.value).startswith(f"{ledger_store.place}: ")
    assert (version_in(ledger_store), ledger_store.tables()) == (says, before)


@pytest.mark.parametrize("open_ledger", OPEN, ids=["to write", "to read"])
def test_a_word_for_a_version_is_refused(
    file_store: FileStore, open_ledger: Callable[[LedgerPlace], SqlLedger]
) -> None:
    make_first(file_store, run=("run-1", "two"))
    with pytest.raises(InputError, match=r"schema_version: is 'two', .* put a whole copy back"):
        open_ledger(file_store.place)
    assert version_in(file_store) == "two"


@pytest.mark.parametrize("open_ledger", OPEN, ids=["to write", "to read"])
def test_another_programs_database_is_no_ledger(
    ledger_store: LedgerStore, open_ledger: Callable[[LedgerPlace], SqlLedger]
) -> None:
    ledger_store.execute("CREATE TABLE run (distance FLOAT)")
    ledger_store.execute("CREATE TABLE shoes (size INTEGER)")
    with pytest.raises(InputError, match=r"not a label ledger \(it holds the table 'run'"):
        open_ledger(ledger_store.place)
    assert ledger_store.tables() == {"run", "shoes"}


def test_an_empty_database_becomes_a_ledger_and_is_none_to_read(ledger_store: LedgerStore) -> None:
    if isinstance(ledger_store, FileStore):
        ledger_store.place.touch()
    with pytest.raises(InputError, match=r"not a label ledger \(it holds no tables"):
        SqlLedger.open_to_read(ledger_store.place)
    SqlLedger.open(ledger_store.place, "run-1").close()
    assert version_in(ledger_store) == SCHEMA_VERSION


@pytest.fixture
def file_store(tmp_path_factory: pytest.TempPathFactory) -> FileStore:
    return FileStore(tmp_path_factory.mktemp("file"))


def test_a_ledger_whose_making_was_cut_short_is_gone_on_with(
    file_store: FileStore, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = FileStore(tmp_path_factory.mktemp("whole"))
    SqlLedger.open(whole.place, "run-1").close()
    made = [sql for (sql,) in whole.execute("SELECT sql FROM sqlite_master") if sql]
    with closing(sqlite3.connect(file_store.place)) as connection:
        for statement in made[:4]:
            connection.execute(statement)
        connection.commit()
    ledger = SqlLedger.open(file_store.place, "run-1")
    ledger.write([make_event(QUERY)])
    ledger.close()
    assert file_store.tables() == whole.tables()
    assert version_in(file_store) == SCHEMA_VERSION


def test_a_making_on_a_server_that_is_cut_short_leaves_nothing(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ServerStore(postgres)
    with monkeypatch.context() as patch:
        patch.setattr(PostgresStore, "make_append_only", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            SqlLedger.open(store.place, "run-1")
    assert store.tables() == set()
