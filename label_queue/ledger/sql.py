"""The ledger in SQL: this module, `tables` and `schema` are the only ones that speak it.

SQLite in WAL mode with `synchronous=FULL` (NORMAL may lose acknowledged commits at power loss),
one process (held by a lock file), one connection, and many records to a transaction. Columns
serve whoever asks the ledger questions in SQL; the JSON body is the record itself.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError
from sqlalchemy import (
    Connection,
    Engine,
    create_engine,
    event,
    func,
    insert,
    select,
)
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import StaticPool

from label_queue.ledger import file as ledger_file
from label_queue.ledger.records import (
    R,
    Record,
    stream_of,
)
from label_queue.ledger.schema import SCHEMA_VERSION, find_version, prepare
from label_queue.ledger.tables import STREAMS, Stream
from protocol.cord import CordEvent
from protocol.errors import InputError, MissingError
from protocol.fault_points import reach
from protocol.files import reading
from protocol.labels import Assignment, ComparisonQuery, LabelEvent

MEND_LEDGER = "name the run folder's ledger.sqlite"
ROWS_AT_ONCE = 1_000
"""Rows read at once: a large ledger's text is never all in memory."""
KEYS_PER_SELECT = 500
"""Keys looked up at once: SQLite takes a limited number of bound parameters in one statement."""


class SqlLedger:
    """The `Ledger` port over SQLite. Not thread-safe: one caller at a time, from any thread."""

    def __init__(self, connection: Connection, lock: TextIOWrapper | None, path: Path) -> None:
        self._connection = connection
        self._lock = lock
        self._path = path
        self._last = {kind: self._last_position(stream) for kind, stream in STREAMS.items()}

    @classmethod
    def open(cls, path: Path, run_id: str) -> Self:
        """Open the run's ledger, making it if there is none.

        Raises ResourceError when the folder is missing or on a network filesystem, the disk
        refuses, or another process has the ledger open; InputError when it is another run's or no
        ledger at all, SchemaMismatch when a newer version of Andon wrote it; IntegrityError when
        SQLite opened any other file. An older version's is brought up to date.
        """
        path = ledger_file.real_path(path)
        ledger_file.refuse_network_filesystem(path)
        with ExitStack() as on_failure:
            lock = on_failure.enter_context(ledger_file.take_lock(path))
            with _is_ledger(path):
                engine = _engine(path)
                on_failure.callback(engine.dispose)
                connection = on_failure.enter_context(engine.connect())
                prepare(connection, path, run_id)
                ledger = cls(connection, lock, path)
            on_failure.pop_all()
            return ledger

    @classmethod
    def open_to_read(cls, path: Path) -> Self:
        """Open a ledger without writing to it, also while another process does.

        Of one that an older version of Andon wrote, a copy in memory is brought up to date.
        Raises MissingError when there is none, InputError when it is no ledger, SchemaMismatch
        when a newer version wrote it, ResourceError when the disk refuses, IntegrityError when
        SQLite opened any other file.
        """
        path = ledger_file.real_path(path)
        with reading(path, "ledger", MEND_LEDGER):
            is_file = path.is_file()
        if not is_file:
            raise MissingError(f"{path}: no such ledger; {MEND_LEDGER}")
        with _is_ledger(path), ExitStack() as on_failure:
            engine = _engine(path, read_only=True)
            on_failure.callback(engine.dispose)
            connection = on_failure.enter_context(engine.connect())
            with connection.begin():
                version = find_version(connection, path)
            if version is None:
                raise InputError(f"{path}: not a label ledger (it holds no tables); name another")
            if version < SCHEMA_VERSION:
                engine = _copy_in_memory(connection)
                on_failure.callback(engine.dispose)
                connection = on_failure.enter_context(engine.connect())
                prepare(connection, path, run_id=None)
            ledger = cls(connection, None, path)
            on_failure.pop_all()
            return ledger

    def write(self, records: Sequence[Record]) -> list[Record]:
        """Append all in one transaction, on disk at return; see `Ledger.write`."""
        last = dict(self._last)
        rows: dict[Any, list[dict[str, object]]] = {kind: [] for kind in STREAMS}
        written = []
        try:
            with self._connection.begin():
                stored = self._stored(records)
                for record in records:
                    written.append(_place(record, stored, last, rows))
                for kind, fresh in rows.items():
                    if fresh:
                        self._connection.execute(insert(STREAMS[kind].table), fresh)
                reach("ledger.before_commit")
            reach("ledger.after_commit")
        except OperationalError as error:
            raise ledger_file.unstored(self._path, error.orig) from error
        self._last = last
        return written

    def queries(self) -> list[ComparisonQuery]:
        """Return all queries, as appended."""
        return self.read(ComparisonQuery)

    def assignments(self) -> list[Assignment]:
        """Return all assignments, as appended."""
        return self.read(Assignment)

    def events(self) -> list[LabelEvent]:
        """Return all label events by `seq`."""
        return self._read(LabelEvent)

    def cord_events(self) -> list[CordEvent]:
        """Return all cord events, as appended."""
        return self._read(CordEvent)

    def read(self, kind: type[R]) -> list[R]:
        """Return all records of one type or stream, as appended."""
        return list(self.each(kind))

    def each(self, kind: type[R]) -> Iterator[R]:
        """Yield the same one by one. Nothing else may be asked of the ledger meanwhile."""
        return (record for record in self._each(stream_of(kind)) if isinstance(record, kind))

    def _read(self, kind: Any) -> list[Any]:
        return list(self._each(kind))

    def _each(self, kind: Any) -> Iterator[Any]:
        stream = STREAMS[kind]
        statement = select(stream.table.c.body).order_by(stream.table.c[stream.order])
        at_once = statement.execution_options(yield_per=ROWS_AT_ONCE)
        with _is_ledger(self._path), self._connection.begin():
            for body in self._connection.scalars(at_once):
                yield stream.adapter.validate_json(body)

    def free_bytes(self) -> float:
        """Return how much room the ledger's disk has."""
        return shutil.disk_usage(self._path.parent).free

    @property
    def where(self) -> str:
        """The ledger's folder."""
        return str(self._path.parent)

    def close(self) -> None:
        """Close the connection and give the lock back."""
        self._connection.close()
        self._connection.engine.dispose()
        if self._lock is not None:
            self._lock.close()

    def _last_position(self, stream: Stream) -> int:
        with self._connection.begin():
            highest = self._connection.scalar(select(func.max(stream.table.c[stream.order])))
        return highest or 0

    def _stored(self, records: Sequence[Record]) -> dict[tuple[Any, object], Record]:
        """Return those records already in the ledger under the keys of `records`."""
        found: dict[tuple[Any, object], Record] = {}
        for kind, stream in STREAMS.items():
            if stream.key is None:
                continue
            keys = [getattr(each, stream.key) for each in records if stream_of(type(each)) is kind]
            column = stream.table.c[stream.key]
            for start in range(0, len(keys), KEYS_PER_SELECT):
                chunk = keys[start : start + KEYS_PER_SELECT]
                chosen = select(column, stream.table.c.body).where(column.in_(chunk))
                for key, body in self._connection.execute(chosen):
                    found[kind, key] = stream.adapter.validate_json(body)
        return found


def _place(
    record: Record,
    stored: dict[tuple[Any, object], Record],
    last: dict[Any, int],
    rows: Mapping[Any, list[dict[str, object]]],
) -> Record:
    """Return what is stored under the record's key, adding a row if that is the record itself."""
    kind = stream_of(type(record))
    stream = STREAMS[kind]
    key = (kind, getattr(record, stream.key)) if stream.key else None
    if key in stored:
        return stored[key]
    last[kind] += 1
    if isinstance(record, LabelEvent):
        record = replace(record, seq=last[kind])
    rows[kind].append(stream.row(record, last[kind]))
    if key is not None:
        stored[key] = record
    return record


def _engine(path: Path, *, read_only: bool = False) -> Engine:
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


@contextmanager
def _is_ledger(path: Path) -> Iterator[None]:
    """Say in one line that a file is not a ledger, where SQL only says what it stumbled over."""
    try:
        yield
    except DatabaseError as error:
        raise ledger_file.sqlite_problem(path, error.orig) from error
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(map(str, problem["loc"]))
        raise InputError(
            f"{path}: a record is not as Andon writes it ({place}: {problem['msg']}); it was "
            "changed: put a whole copy back"
        ) from error


def _copy_in_memory(connection: Connection) -> Engine:
    copy = sqlite3.connect(":memory:", check_same_thread=False)
    source = connection.connection.driver_connection
    assert isinstance(source, sqlite3.Connection)
    source.backup(copy)
    return create_engine("sqlite://", poolclass=StaticPool, creator=lambda: copy)
