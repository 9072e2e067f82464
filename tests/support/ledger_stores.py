"""The places that a ledger of the tests may lie in, and what is there seen from outside."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import psycopg

from label_queue.ledger.sql import SqlLedger
from label_queue.ledger_place import LedgerPlace
from tests.support.postgres_server import PostgresServer


class LedgerStore(Protocol):
    """An empty place for one ledger, and more of its kind."""

    refusal: type[Exception]
    """What the database raises where a trigger refuses a statement."""

    @property
    def place(self) -> LedgerPlace:
        """What a ledger is opened by."""
        ...

    def another(self) -> LedgerPlace:
        """Return another empty place."""
        ...

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Run one statement on the database, without Andon; return its rows."""
        ...

    def tables(self) -> set[str]:
        """Return the names of tables, indexes and triggers."""
        ...


class FileStore:
    """Files of one folder."""

    refusal: type[Exception] = sqlite3.IntegrityError

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._others = 0
        self.place = folder / "ledger.sqlite"

    def another(self) -> LedgerPlace:
        self._others += 1
        return self._folder / f"ledger-{self._others}.sqlite"

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.place)) as connection, connection:
            return connection.execute(statement).fetchall()

    def tables(self) -> set[str]:
        return {name for (name,) in self.execute("SELECT name FROM sqlite_master")}


class ServerStore:
    """Schemas of one database."""

    refusal: type[Exception] = psycopg.errors.RaiseException

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self.place = server.new_schema()

    def another(self) -> LedgerPlace:
        return self._server.new_schema()

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        return self._server.execute(statement, self.place)

    def tables(self) -> set[str]:
        found = self.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace "
            "UNION SELECT tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
            "WHERE c.relnamespace = current_schema()::regnamespace"
        )
        return {name for (name,) in found}


STORES = ("sqlite", "postgres")


def make_store(kind: str, folder: Path, server: Callable[[], PostgresServer]) -> LedgerStore:
    """Return a store of one of STORES; `server` is asked only for one that needs it."""
    return FileStore(folder) if kind == "sqlite" else ServerStore(server())


def over_its_connection(ledger: SqlLedger, statement: str) -> Any:
    """Run a statement over a ledger's own connection, where settings hold; return its value."""
    assert ledger._connection is not None, "it is open"
    result = ledger._connection.exec_driver_sql(statement)
    value = result.scalar() if result.returns_rows else None
    ledger._connection.rollback()
    return value
