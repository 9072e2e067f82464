"""The ledger in a file: SQLite in WAL mode with `synchronous=FULL`.

NORMAL may lose acknowledged commits at power loss. A lock file keeps other writers out.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import ExitStack
from io import TextIOWrapper
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import StaticPool

from label_queue.ledger import file as ledger_file
from protocol.errors import MissingError, UserError
from protocol.files import reading

MEND_LEDGER = "name the run folder's ledger.sqlite"


class SqliteStore:
    """The `Store` of a file.

    Args:
        path: The file; made where it is missing, unless it is only read.
        read_only: Whether to leave it as it is, and let others write.
    """

    def __init__(self, path: Path, *, read_only: bool) -> None:
        self._path = ledger_file.real_path(path)
        self._read_only = read_only
        self._engine: Engine | None = None
        self._lock: TextIOWrapper | None = None

    @property
    def name(self) -> str:
        """The file."""
        return str(self._path)

    @property
    def where(self) -> str:
        """The file's folder."""
        return str(self._path.parent)

    def connect(self) -> Connection:
        """See `Store.connect`; a missing folder or a network filesystem is a ResourceError."""
        self.close()
        with ExitStack() as on_failure:
            on_failure.callback(self.close)
            if self._read_only:
                self._refuse_missing()
            else:
                ledger_file.refuse_network_filesystem(self._path)
                self._lock = ledger_file.take_lock(self._path)
            self._engine = _engine(self._path, read_only=self._read_only)
            connection = self._engine.connect()
            on_failure.pop_all()
            return connection

    def beside(self) -> SqliteStore:
        """See `Store.beside`."""
        return SqliteStore(self._path, read_only=True)

    def begin_making(self, connection: Connection) -> None:
        """See `Store.begin_making`: of itself, SQLite's driver begins with the first row."""
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    def make_append_only(self, connection: Connection, tables: Iterable[str]) -> None:
        """See `Store.make_append_only`."""
        for table in tables:
            for verb in ("UPDATE", "DELETE"):
                connection.exec_driver_sql(
                    f"CREATE TRIGGER IF NOT EXISTS {table}_no_{verb.lower()} BEFORE {verb} "
                    f"ON {table} BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
                )

    def let_change(self, connection: Connection, table: str) -> None:
        """See `Store.let_change`."""
        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {table}_no_update")

    def unreadable(self, error: DBAPIError) -> UserError:
        """See `Store.unreadable`."""
        return ledger_file.sqlite_problem(self._path, error.orig)

    def unstored(self, error: DBAPIError) -> UserError | None:
        """See `Store.unstored`."""
        if not isinstance(error, OperationalError):
            return None
        return ledger_file.unstored(self._path, error.orig)

    def is_lost(self, error: DBAPIError) -> bool:
        """Never: SQLite is part of this process."""
        return False

    def free_bytes(self) -> float:
        """Return how much room the file's disk has."""
        return shutil.disk_usage(self._path.parent).free

    def close(self) -> None:
        """Close the connection and give the lock back."""
        if self._engine is not None:
            self._engine.dispose()
        if self._lock is not None:
            self._lock.close()

    def _refuse_missing(self) -> None:
        with reading(self._path, "ledger", MEND_LEDGER):
            is_file = self._path.is_file()
        if not is_file:
            raise MissingError(f"{self._path}: no such ledger; {MEND_LEDGER}")


def _engine(path: Path, *, read_only: bool) -> Engine:
    # The path never becomes part of SQLAlchemy's URL: there "#", "?" and "%41" mean something else.
    engine = create_engine(
        "sqlite://",
        poolclass=StaticPool,
        creator=lambda: ledger_file.open_database(path, read_only=read_only),
    )

    @event.listens_for(engine, "connect")
    def _set_pragmas(connection: sqlite3.Connection, _record: object) -> None:
        if not read_only:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")

    return engine
