"""The ledger in SQL: the only module that speaks it.

SQLite in WAL mode with `synchronous=FULL` (NORMAL may lose acknowledged commits at power loss),
one process (held by a lock file), one connection, and many records to a transaction. Columns
serve whoever asks the ledger questions in SQL; the JSON body is the record itself.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Self

from pydantic import TypeAdapter, ValidationError
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
    inspect,
    select,
)
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import StaticPool
from sqlalchemy.types import TypeEngine

from label_queue.ledger import file as ledger_file
from label_queue.ledger.records import (
    ConnectorOffset,
    DeadLetter,
    LabelerToken,
    R,
    Record,
    TokenRevocation,
)
from protocol.errors import InputError, MissingError, ResourceError
from protocol.files import reading
from protocol.labels import (
    Assignment,
    ComparisonQuery,
    CordEvent,
    LabelEvent,
    PolicyProvenance,
    RewardVersion,
)

SCHEMA_VERSION = 2
MEND_LEDGER = "name the run folder's ledger.sqlite"
KEYS_PER_SELECT = 500
"""SQLite takes a limited number of bound parameters in one statement."""

metadata = MetaData()
run_table = Table(
    "run",
    metadata,
    Column("run_id", String, primary_key=True),
    Column("schema_version", Integer, nullable=False),
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

    @classmethod
    def of(
        cls,
        record: type[Record],
        name: str,
        *columns: Column[Any],
        key: str | None = None,
        key_type: type[TypeEngine[Any]] = String,
        order: str = "position",
    ) -> Self:
        keys = [] if key is None else [Column(key, key_type, nullable=False, unique=True)]
        table = Table(
            name,
            metadata,
            Column(order, Integer, primary_key=True),
            *keys,
            *columns,
            Column("body", Text, nullable=False),
        )
        return cls(table=table, order=order, key=key, adapter=TypeAdapter(record))

    def row(self, record: Record, position: int) -> dict[str, object]:
        names = (column.name for column in self.table.columns)
        fields = (name for name in names if name not in (self.order, "body"))
        row: dict[str, object] = {name: getattr(record, name) for name in fields}
        row[self.order] = position
        row["body"] = self.adapter.dump_json(record).decode()
        return row


def _text(name: str, *, index: bool = False) -> Column[Any]:
    return Column(name, String, nullable=False, index=index)


def _number(name: str) -> Column[Any]:
    return Column(name, Integer, nullable=False)


def _time(name: str) -> Column[Any]:
    return Column(name, Float, nullable=False)


STREAMS: Mapping[type[Any], _Stream] = {
    ComparisonQuery: _Stream.of(
        ComparisonQuery, "queries", _text("purpose"), _time("created_at"), key="query_id"
    ),
    Assignment: _Stream.of(
        Assignment,
        "assignments",
        _text("query_id", index=True),
        _text("labeler_id", index=True),
        _time("created_at"),
        key="assignment_id",
    ),
    LabelEvent: _Stream.of(
        LabelEvent,
        "label_events",
        _text("type"),
        _text("query_id", index=True),
        _text("labeler_id", index=True),
        _time("received_at"),
        key="event_id",
        order="seq",
    ),
    LabelerToken: _Stream.of(
        LabelerToken,
        "tokens",
        _text("labeler_id"),
        _text("role"),
        _text("kind"),
        key="token_sha256",
    ),
    TokenRevocation: _Stream.of(
        TokenRevocation, "token_revocations", _time("at"), key="token_sha256"
    ),
    CordEvent: _Stream.of(
        CordEvent, "cord_events", _text("action"), _text("actor"), _time("at"), key="event_id"
    ),
    RewardVersion: _Stream.of(
        RewardVersion,
        "reward_versions",
        _text("kind"),
        _number("ledger_seq"),
        key="version",
        key_type=Integer,
    ),
    PolicyProvenance: _Stream.of(
        PolicyProvenance,
        "policy_versions",
        _number("reward_version"),
        _number("learned_through"),
        _time("created_at"),
        key="version",
        key_type=Integer,
    ),
    ConnectorOffset: _Stream.of(
        ConnectorOffset, "connector_offsets", _text("connector", index=True), _time("at")
    ),
    DeadLetter: _Stream.of(DeadLetter, "dead_letters", _text("labeler_id"), _time("received_at")),
}

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
        ledger at all; IntegrityError when SQLite opened any other file.
        """
        path = ledger_file.real_path(path)
        ledger_file.refuse_network_filesystem(path)
        with ExitStack() as on_failure:
            lock = on_failure.enter_context(ledger_file.take_lock(path))
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
        when the disk refuses, IntegrityError when SQLite opened any other file.
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
                _refuse_other_schema(connection, path)
            ledger = cls(connection, None, path)
            on_failure.pop_all()
            return ledger

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
        return self.read(ComparisonQuery)

    def assignments(self) -> list[Assignment]:
        """Return all assignments, as appended."""
        return self.read(Assignment)

    def events(self) -> list[LabelEvent]:
        """Return all label events by `seq`."""
        return self.read(LabelEvent)

    def read(self, kind: type[R]) -> list[R]:
        """Return all records of one type, whichever, as appended."""
        stream = STREAMS[kind]
        statement = select(stream.table.c.body).order_by(stream.table.c[stream.order])
        with _is_ledger(self._path), self._connection.begin():
            bodies = self._connection.scalars(statement).all()
            return [stream.adapter.validate_json(body) for body in bodies]

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


def _prepare(connection: Connection, path: Path, run_id: str) -> None:
    """Create the tables, or check that they are of this run and of this code."""
    with connection.begin():
        # Checked before anything is created: a ledger that is refused is left as it was.
        _refuse_other_schema(connection, path)
        metadata.create_all(connection)
        row = connection.execute(select(run_table)).one_or_none()
        if row is None:
            connection.execute(
                insert(run_table), {"run_id": run_id, "schema_version": SCHEMA_VERSION}
            )
        elif row.run_id != run_id:
            raise InputError(f"{path}: is the ledger of run {row.run_id!r}, not {run_id!r}")


def _refuse_other_schema(connection: Connection, path: Path) -> None:
    if not inspect(connection).has_table(run_table.name):
        return
    written_by = connection.scalar(select(run_table.c.schema_version))
    if written_by not in (None, SCHEMA_VERSION):
        raise InputError(
            f"{path}: written by schema {written_by}, this is {SCHEMA_VERSION}; "
            "use the version of Andon that wrote it"
        )
