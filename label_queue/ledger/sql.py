"""The ledger in SQL, whichever database it lies in: one connection, many records to a transaction.

Columns serve whoever asks the ledger questions in SQL; the JSON body is the record itself. What
databases differ in is in `stores`, with `sqlite` and `postgres` beside it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Self

from pydantic import ValidationError
from sqlalchemy import Connection, func, insert, select
from sqlalchemy.exc import DatabaseError

from label_queue.ledger.patience import when_possible
from label_queue.ledger.records import R, Record, Row, stream_of
from label_queue.ledger.schema import find_version, kinds_in, prepare
from label_queue.ledger.stores import Store, store_to_read, store_to_write
from label_queue.ledger.tables import STREAMS
from label_queue.ledger_place import LedgerPlace
from protocol.cord import CordEvent
from protocol.errors import InputError, IntegrityError, ResourceError
from protocol.fault_points import reach
from protocol.labels import Assignment, ComparisonQuery, LabelEvent

ROWS_AT_ONCE = 1_000
"""Rows read at once: a large ledger's text is never all in memory."""
KEYS_PER_SELECT = 500
"""Keys looked up at once: databases take a limited number of bound parameters in one statement."""
RECONNECT_S = 30.0
"""What a server may take to be back, for a write that it has cut off not to be refused."""


Rows = Mapping[Any, list[dict[str, object]]]
"""New rows, by the stream they belong to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _CutOff:
    """A transaction whose connection was lost before its end was heard."""

    rows: Rows
    """What is in the ledger if it was committed."""
    written: list[Record]
    """What stands under the keys written, if it was committed."""
    last: dict[Any, int]
    """The last position of every stream, if it was committed."""


class SqlLedger:
    """The `Ledger` port in SQL. Not thread-safe: one caller at a time, from any thread.

    Made by `open` and `open_to_read`.
    """

    def __init__(self, store: Store, connection: Connection) -> None:
        self._store = store
        self._connection: Connection | None = connection
        """None: it was lost."""
        with connection.begin():
            self._kinds = kinds_in(connection)
        self._last = _positions(connection, self._kinds)
        self._cut_off: _CutOff | None = None

    @classmethod
    def open(cls, place: LedgerPlace, run_id: str) -> Self:
        """Open the run's ledger, making it if there is none.

        Raises ResourceError when the folder is missing or on a network filesystem, the disk or the
        server refuses, or another process has the ledger open; InputError when it is another run's
        or no ledger at all, SchemaMismatch when a newer version of Andon wrote it; IntegrityError
        when SQLite opened any other file; MissingError where a server's driver is not installed.
        An older version's is brought up to date.
        """
        store = store_to_write(place, run_id)
        with _opened(store) as connection:
            prepare(connection, store, run_id)
            return cls(store, connection)

    @classmethod
    def open_to_read(cls, place: LedgerPlace) -> Self:
        """Open a ledger without writing to it, also while another process does.

        One that an older version of Andon wrote is read as it is. Raises MissingError when there is
        none, InputError when it is no ledger, SchemaMismatch when a newer version wrote it,
        ResourceError when the disk or the server refuses, IntegrityError when SQLite opened any
        other file.
        """
        store = store_to_read(place)
        with _opened(store) as connection:
            with connection.begin():
                version = find_version(connection, store.name)
            if version is None:
                raise InputError(
                    f"{store.name}: not a label ledger (it holds no tables); name another"
                )
            return cls(store, connection)

    @classmethod
    def is_made(cls, place: LedgerPlace) -> bool:
        """Return whether a ledger's tables are there; errors as for `open_to_read`."""
        store = store_to_read(place)
        with _opened(store) as connection:
            with connection.begin():
                is_made = find_version(connection, store.name) is not None
            store.close()
            return is_made

    def write(self, records: Sequence[Record]) -> list[Record]:
        """Append all in one transaction, on disk at return; see `Ledger.write`."""
        self.settle()
        try:
            return self._append(records)
        except ResourceError:
            if self._cut_off is None:
                raise
        # Whether it was committed is known once there is another connection: if not, again.
        return self._settle(RECONNECT_S) or self._append(records)

    def settle(self) -> list[Record]:
        """Return what stands of a write that was refused; see `Ledger.settle`."""
        return self._settle(0.0)

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

    def each(self, kind: type[R], after: int = 0, through: int | None = None) -> Iterator[R]:
        """Yield the same one by one, those after one place and up to another; see `Ledger.each`."""
        records = self._each(stream_of(kind), after, through)
        return (record for record in records if isinstance(record, kind))

    def rows(self, kind: Any, through: int) -> Iterator[Row]:
        """Yield a stream's records as they are written; see `Ledger.rows`."""
        for _, key, body in self._rows(kind, 0, through):
            yield Row(key, body)

    def find(self, kind: Any, keys: Collection[str]) -> dict[str, Any]:
        """Return a stream's records by their keys; see `Ledger.find`."""
        if kind not in self._kinds:
            return {}
        with self._reading() as connection, connection.begin():
            return dict(_under(connection, kind, list(keys), STREAMS[kind].key))

    def at(self, kind: Any, places: Sequence[int]) -> list[Any]:
        """Return a stream's records at some places; see `Ledger.at`."""
        with self._reading() as connection, connection.begin():
            found = dict(_under(connection, kind, places, STREAMS[kind].order))
        return [found[place] for place in places]

    def beside(self) -> Self:
        """Return the same ledger once more, to read; see `Ledger.beside`, raises as `open`."""
        store = self._store.beside()
        with _opened(store) as connection:
            return type(self)(store, connection)

    def newest(self, kind: Any) -> int:
        """Return the place of a stream's last record; see `Ledger.newest`."""
        if kind not in self._kinds:
            return 0
        with self._reading() as connection:
            return _positions(connection, [kind])[kind]

    def _read(self, kind: Any) -> list[Any]:
        return list(self._each(kind))

    def _each(self, kind: Any, after: int = 0, through: int | None = None) -> Iterator[Any]:
        with _is_ledger(self._store):
            for _, _, body in self._rows(kind, after, through):
                yield STREAMS[kind].adapter.validate_json(body)

    def _rows(self, kind: Any, after: int, through: int | None) -> Iterator[Any]:
        """Yield place, key and body of a stream's records after one place, up to another.

        No transaction goes on between them: what a place holds never changes.
        """
        if kind not in self._kinds:
            return
        stream = STREAMS[kind]
        order, body = stream.table.c[stream.order], stream.table.c.body
        key = order if stream.key is None else stream.table.c[stream.key]
        num_rows = ROWS_AT_ONCE
        while num_rows == ROWS_AT_ONCE:
            chosen = select(order, key, body).where(order > after).order_by(order)
            if through is not None:
                chosen = chosen.where(order <= through)
            with self._reading() as connection, connection.begin():
                rows = connection.execute(chosen.limit(ROWS_AT_ONCE)).all()
            num_rows = len(rows)
            after = rows[-1][0] if rows else after
            yield from rows

    def is_empty(self) -> bool:
        """Return whether nothing was ever written to it."""
        return not any(self._last.values())

    def free_bytes(self) -> float:
        """Return how much room there is where the ledger lies."""
        return self._store.free_bytes()

    @property
    def where(self) -> str:
        """The ledger's folder, or the URL of its database."""
        return self._store.where

    def close(self) -> None:
        """Close the connection and give the lock back."""
        if self._connection is not None:
            self._connection.close()
        self._store.close()

    def _append(self, records: Sequence[Record]) -> list[Record]:
        """Write over the connection there is; if that is lost, remember what may be committed."""
        last = dict(self._last)
        rows: Rows = {kind: [] for kind in STREAMS}
        written: list[Record] = []
        connection = self._connected(0.0)
        try:
            with connection.begin():
                stored = _stored(connection, records)
                for record in records:
                    written.append(_place(record, stored, last, rows))
                for kind, fresh in rows.items():
                    if fresh:
                        connection.execute(insert(STREAMS[kind].table), fresh)
                reach("ledger.before_commit")
            reach("ledger.after_commit")
        except DatabaseError as error:
            if self._store.is_lost(error):
                self._lose(_CutOff(rows=rows, written=written, last=last))
            refusal = self._store.unstored(error)
            if refusal is None:
                raise
            raise refusal from error
        self._last = last
        return written

    def _settle(self, timeout_s: float) -> list[Record]:
        """See `settle`; wait so long for a server that is not back yet."""
        cut_off = self._cut_off
        if cut_off is None:
            return []
        self._connected(timeout_s)
        with self._reading() as connection:
            is_committed = _positions(connection, self._kinds) != self._last
            if is_committed and not self._holds(connection, cut_off):
                raise IntegrityError(
                    f"{self._store.name}: another process wrote to this ledger while the "
                    "connection to it was lost, and this one does not know what; stop the run and "
                    "resume it"
                )
        self._cut_off = None
        if not is_committed:
            return []
        self._last = cut_off.last
        return cut_off.written

    def _holds(self, connection: Connection, cut_off: _CutOff) -> bool:
        """Whether all that is new in the ledger are the rows that were cut off."""
        with connection.begin():
            for kind in self._kinds:
                stream = STREAMS[kind]
                order, body = stream.table.c[stream.order], stream.table.c.body
                new = select(order, body).where(order > self._last[kind]).order_by(order)
                rows = cut_off.rows.get(kind, ())
                ours = [(row[stream.order], row["body"]) for row in rows]
                if [tuple(row) for row in connection.execute(new)] != ours:
                    return False
        return True

    def _connected(self, timeout_s: float) -> Connection:
        """Return the connection, or another where it was lost; wait so long for the server."""
        if self._connection is None:
            self._connection = when_possible(self._connect, timeout_s)
        return self._connection

    def _connect(self) -> Connection:
        with _is_ledger(self._store):
            return self._store.connect()

    def _lose(self, cut_off: _CutOff) -> None:
        """Note that the connection is gone: nothing is written before it is known what stands."""
        self._store.close()
        self._connection = None
        self._cut_off = self._cut_off or cut_off

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """Give the connection; say in a line what SQL stumbles over."""
        with _is_ledger(self._store):
            try:
                yield self._connected(0.0)
            except DatabaseError as error:
                if self._store.is_lost(error):
                    self._lose(_CutOff(rows={}, written=[], last=self._last))
                raise


def _positions(connection: Connection, kinds: Collection[Any]) -> dict[Any, int]:
    """Return the last position of each stream."""
    last = {}
    with connection.begin():
        for kind in kinds:
            stream = STREAMS[kind]
            highest = connection.scalar(select(func.max(stream.table.c[stream.order])))
            last[kind] = highest or 0
    return last


def _stored(connection: Connection, records: Sequence[Record]) -> dict[tuple[Any, object], Record]:
    """Return those records already in the ledger under the keys of `records`."""
    found: dict[tuple[Any, object], Record] = {}
    for kind, stream in STREAMS.items():
        if stream.key is None:
            continue
        keys = [getattr(each, stream.key) for each in records if stream_of(type(each)) is kind]
        for key, record in _under(connection, kind, keys, stream.key):
            found[kind, key] = record
    return found


def _under(
    connection: Connection, kind: Any, values: Sequence[object], name: str | None
) -> Iterator[tuple[Any, Record]]:
    """Yield what a stream has under some values of a column of that name, each with its value."""
    stream = STREAMS[kind]
    assert name is not None, "only streams whose records have names are asked by name"
    column = stream.table.c[name]
    for start in range(0, len(values), KEYS_PER_SELECT):
        chunk = values[start : start + KEYS_PER_SELECT]
        chosen = select(column, stream.table.c.body).where(column.in_(chunk))
        for value, body in connection.execute(chosen):
            yield value, stream.adapter.validate_json(body)


def _place(
    record: Record,
    stored: dict[tuple[Any, object], Record],
    last: dict[Any, int],
    rows: Rows,
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


@contextmanager
def _opened(store: Store) -> Iterator[Connection]:
    """Connect; close the store where what is done with the connection fails."""
    with ExitStack() as on_failure:
        on_failure.callback(store.close)
        with _is_ledger(store):
            yield store.connect()
        on_failure.pop_all()


@contextmanager
def _is_ledger(store: Store) -> Iterator[None]:
    """Say in one line that a database is no ledger, where SQL says what it stumbled over."""
    try:
        yield
    except DatabaseError as error:
        raise store.unreadable(error) from error
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(map(str, problem["loc"]))
        raise InputError(
            f"{store.name}: a record is not as Andon writes it ({place}: {problem['msg']}); it was "
            "changed: put a whole copy back"
        ) from error
