"""The ledger in SQL: the only module that speaks it.

SQLite in WAL mode with `synchronous=FULL` (NORMAL may lose acknowledged commits at power loss),
one process (held by a lock file), one connection, and many records to a transaction. Columns
serve whoever asks the ledger questions in SQL; the JSON body is the record itself.
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Self, cast
from urllib.parse import quote

import psutil
from pydantic import TypeAdapter
from sqlalchemy import (
    DDL,
    Column,
    Connection,
    Engine,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    func,
    insert,
    select,
)
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import StaticPool

from label_queue.ledger import DeadLetter, LabelerToken, Record
from protocol.errors import InputError, MissingError, ResourceError
from protocol.labels import Assignment, ComparisonQuery, LabelEvent

SCHEMA_VERSION = 1
NETWORK_FILESYSTEMS = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "fuse.glusterfs", "fuse.s3fs", "fuse.sshfs", "gfs2"}
    | {"glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "smb3", "smbfs"}
)
DISK_ERRORS = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}
)
"""Primary result codes that tell of the disk or of access to it, and not of what the file holds."""
MEND_DISK = "free space on its disk, and see that you may write there"
KEYS_PER_SELECT = 500
"""SQLite takes a limited number of bound parameters in one statement."""

metadata = MetaData()
run_table = Table(
    "run",
    metadata,
    Column("run_id", String, primary_key=True),
    Column("schema_version", Integer, nullable=False),
)
queries_table = Table(
    "queries",
    metadata,
    Column("position", Integer, primary_key=True),
    Column("query_id", String, nullable=False, unique=True),
    Column("purpose", String, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("body", Text, nullable=False),
)
assignments_table = Table(
    "assignments",
    metadata,
    Column("position", Integer, primary_key=True),
    Column("assignment_id", String, nullable=False, unique=True),
    Column("query_id", String, nullable=False, index=True),
    Column("labeler_id", String, nullable=False, index=True),
    Column("created_at", Float, nullable=False),
    Column("body", Text, nullable=False),
)
events_table = Table(
    "label_events",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("event_id", String, nullable=False, unique=True),
    Column("type", String, nullable=False),
    Column("query_id", String, nullable=False, index=True),
    Column("labeler_id", String, nullable=False, index=True),
    Column("received_at", Float, nullable=False),
    Column("body", Text, nullable=False),
)
tokens_table = Table(
    "tokens",
    metadata,
    Column("position", Integer, primary_key=True),
    Column("token_sha256", String, nullable=False, unique=True),
    Column("labeler_id", String, nullable=False),
    Column("body", Text, nullable=False),
)
dead_letters_table = Table(
    "dead_letters",
    metadata,
    Column("position", Integer, primary_key=True),
    Column("labeler_id", String, nullable=False),
    Column("received_at", Float, nullable=False),
    Column("body", Text, nullable=False),
)

for _table in metadata.tables.values():
    for _verb in ("UPDATE", "DELETE"):
        event.listen(
            _table,
            "after_create",
            DDL(  # type: ignore[no-untyped-call]
                f"CREATE TRIGGER {_table.name}_no_{_verb.lower()} BEFORE {_verb} ON {_table.name} "
                "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
            ).execute_if(dialect="sqlite"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stream:
    """How one type of record is laid out in its table."""

    table: Table
    order: str
    """Rises with every append."""
    key: str | None
    """Makes an append idempotent; None where every append counts."""
    adapter: TypeAdapter[Any]

    def row(self, record: Record, position: int) -> dict[str, object]:
        names = (column.name for column in self.table.columns)
        fields = (name for name in names if name not in (self.order, "body"))
        row: dict[str, object] = {name: getattr(record, name) for name in fields}
        row[self.order] = position
        row["body"] = self.adapter.dump_json(record).decode()
        return row


STREAMS: Mapping[type[Record], _Stream] = {
    ComparisonQuery: _Stream(
        table=queries_table,
        order="position",
        key="query_id",
        adapter=TypeAdapter(ComparisonQuery),
    ),
    Assignment: _Stream(
        table=assignments_table,
        order="position",
        key="assignment_id",
        adapter=TypeAdapter(Assignment),
    ),
    LabelEvent: _Stream(
        table=events_table, order="seq", key="event_id", adapter=TypeAdapter(LabelEvent)
    ),
    LabelerToken: _Stream(
        table=tokens_table,
        order="position",
        key="token_sha256",
        adapter=TypeAdapter(LabelerToken),
    ),
    DeadLetter: _Stream(
        table=dead_letters_table, order="position", key=None, adapter=TypeAdapter(DeadLetter)
    ),
}


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
        ledger at all.
        """
        refuse_network_filesystem(path)
        with ExitStack() as on_failure:
            lock = on_failure.enter_context(_take_lock(path))
            with _is_ledger(path):
                engine = _engine(path)
                on_failure.callback(engine.dispose)
                connection = on_failure.enter_context(engine.connect())
                _prepare(connection, path, run_id)
                ledger = cls(connection, lock, path)
            on_failure.pop_all()
            return ledger

    @classmethod
    def open_to_read(cls, path: Path) -> Self:
        """Open a ledger without writing to it, also while another process does.

        Raises MissingError when there is none, InputError when it is no ledger, ResourceError
        when the disk refuses.
        """
        if not path.is_file():
            raise MissingError(f"{path}: no such ledger; name the run folder's ledger.sqlite")
        with _is_ledger(path):
            return cls(_engine(path, read_only=True).connect(), None, path)

    def write(self, records: Sequence[Record]) -> list[Record]:
        """Append all in one transaction, on disk at return; see `Ledger.write`."""
        last = dict(self._last)
        rows: dict[type[Record], list[dict[str, object]]] = {kind: [] for kind in STREAMS}
        written = []
        try:
            with self._connection.begin():
                standing = self._standing(records)
                for record in records:
                    written.append(_place(record, standing, last, rows))
                for kind, fresh in rows.items():
                    if fresh:
                        self._connection.execute(insert(STREAMS[kind].table), fresh)
        except OperationalError as error:
            raise ResourceError(
                f"{self._path}: labels cannot be stored ({error.orig}); free space on its disk"
            ) from error
        self._last = last
        return written

    def queries(self) -> list[ComparisonQuery]:
        """Return all queries, as appended."""
        return cast(list[ComparisonQuery], self._read(ComparisonQuery))

    def assignments(self) -> list[Assignment]:
        """Return all assignments, as appended."""
        return cast(list[Assignment], self._read(Assignment))

    def events(self) -> list[LabelEvent]:
        """Return all label events by `seq`."""
        return cast(list[LabelEvent], self._read(LabelEvent))

    def tokens(self) -> list[LabelerToken]:
        """Return all labelers' tokens, as appended."""
        return cast(list[LabelerToken], self._read(LabelerToken))

    def dead_letters(self) -> list[DeadLetter]:
        """Return all refused bodies, as appended."""
        return cast(list[DeadLetter], self._read(DeadLetter))

    def close(self) -> None:
        """Close the connection and give the lock back."""
        self._connection.close()
        self._connection.engine.dispose()
        if self._lock is not None:
            self._lock.close()

    def _last_position(self, stream: _Stream) -> int:
        with self._connection.begin():
            highest = self._connection.scalar(select(func.max(stream.table.c[stream.order])))
        return highest or 0

    def _read(self, kind: type[Record]) -> list[Record]:
        stream = STREAMS[kind]
        statement = select(stream.table.c.body).order_by(stream.table.c[stream.order])
        with self._connection.begin():
            bodies = self._connection.scalars(statement).all()
        return [stream.adapter.validate_json(body) for body in bodies]

    def _standing(self, records: Sequence[Record]) -> dict[tuple[type[Record], object], Record]:
        """Return those records already in the ledger under the keys of `records`."""
        found: dict[tuple[type[Record], object], Record] = {}
        for kind, stream in STREAMS.items():
            if stream.key is None:
                continue
            keys = [getattr(record, stream.key) for record in records if type(record) is kind]
            column = stream.table.c[stream.key]
            for start in range(0, len(keys), KEYS_PER_SELECT):
                chunk = keys[start : start + KEYS_PER_SELECT]
                chosen = select(column, stream.table.c.body).where(column.in_(chunk))
                for key, body in self._connection.execute(chosen):
                    found[kind, key] = stream.adapter.validate_json(body)
        return found


def _place(
    record: Record,
    standing: dict[tuple[type[Record], object], Record],
    last: dict[type[Record], int],
    rows: Mapping[type[Record], list[dict[str, object]]],
) -> Record:
    """Return what stands under the record's key, adding a row if that is the record itself."""
    kind = type(record)
    stream = STREAMS[kind]
    key = (kind, getattr(record, stream.key)) if stream.key else None
    if key in standing:
        return standing[key]
    last[kind] += 1
    if isinstance(record, LabelEvent):
        record = replace(record, seq=last[kind])
    rows[kind].append(stream.row(record, last[kind]))
    if key is not None:
        standing[key] = record
    return record


def refuse_network_filesystem(path: Path, mounts: Iterable[tuple[str, str]] | None = None) -> None:
    """Raise ResourceError unless the ledger's folder exists on a local disk.

    SQLite's locks and its write-ahead log are not safe over a network. `mounts` are (mount point,
    filesystem type) pairs; by default, this machine's.
    """
    folder = path.parent.resolve()
    if not folder.is_dir():
        raise ResourceError(f"{folder}: no such folder for the ledger; make it first")
    if mounts is None:
        mounts = [(part.mountpoint, part.fstype) for part in psutil.disk_partitions(all=True)]
    above = [(point, kind) for point, kind in mounts if folder.is_relative_to(point)]
    point, kind = max(above, key=lambda mount: len(mount[0]), default=("/", ""))
    if kind in NETWORK_FILESYSTEMS:
        raise ResourceError(
            f"{path}: {point} is a network filesystem ({kind}), on which SQLite may lose labels; "
            "put the run folder on a local disk"
        )


def _take_lock(path: Path) -> TextIOWrapper:
    """Hold the ledger for this process until the file is closed or the process ends, however."""
    try:
        lock = path.with_name(path.name + ".lock").open("a")
    except OSError as error:
        problem = f"{error.filename}: cannot be written ({error.strerror})"
        raise ResourceError(f"{problem}; {MEND_DISK}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise ResourceError(
            f"{path}: another process has this ledger open; stop it, or wait for it to end"
        ) from error
    return lock


def _engine(path: Path, *, read_only: bool = False) -> Engine:
    mode = "ro" if read_only else "rwc"
    engine = create_engine(
        f"sqlite:///file:{quote(str(path))}?mode={mode}&uri=true",
        poolclass=StaticPool,
        connect_args={"check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def _set_pragmas(connection: sqlite3.Connection, _record: object) -> None:
        if not read_only:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")

    return engine


@contextmanager
def _is_ledger(path: Path) -> Iterator[None]:
    """Say in one line that a file is not a ledger, where SQL only says what it stumbled over.

    What SQLite puts down to the disk says nothing about the file: that is a ResourceError.
    """
    try:
        yield
    except DatabaseError as error:
        # The low byte is the kind of error, the others its details.
        if getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in DISK_ERRORS:
            raise ResourceError(f"{path}: cannot be opened ({error.orig}); {MEND_DISK}") from error
        raise InputError(f"{path}: not a label ledger ({error.orig}); name another") from error


def _prepare(connection: Connection, path: Path, run_id: str) -> None:
    """Create the tables, or check that they are of this run and of this code."""
    with connection.begin():
        metadata.create_all(connection)
        row = connection.execute(select(run_table)).one_or_none()
        if row is None:
            connection.execute(
                insert(run_table), {"run_id": run_id, "schema_version": SCHEMA_VERSION}
            )
        elif row.run_id != run_id:
            raise InputError(f"{path}: is the ledger of run {row.run_id!r}, not {run_id!r}")
        elif row.schema_version != SCHEMA_VERSION:
            raise InputError(
                f"{path}: written by schema {row.schema_version}, this is {SCHEMA_VERSION}; "
                "use the version of Andon that wrote it"
            )
