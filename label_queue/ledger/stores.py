"""What the databases under a ledger differ in: all else is one code, in `sql`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from label_queue.ledger_place import LedgerPlace
from protocol.errors import UserError


class Store(Protocol):
    """One database, to write to as the only one or to read. Holds one connection at most."""

    @property
    def name(self) -> str:
        """The ledger, for people: its file or URL."""
        ...

    @property
    def where(self) -> str:
        """What may run out of room, for people."""
        ...

    def connect(self) -> Connection:
        """Connect, anew where that was done before; to write, only while nobody else may.

        What an earlier connection of the writer's left undone is over by then.

        Raises ResourceError where another process has the ledger, or the database does not keep
        what it was told; IntegrityError where it is another than the one asked for; MissingError
        where there is nothing to read; and what SQLAlchemy raises.
        """
        ...

    def beside(self) -> Store:
        """Return a store of the same database, to read."""
        ...

    def begin_making(self, connection: Connection) -> None:
        """Have the transaction that was begun hold the tables as well that it will make."""
        ...

    def make_append_only(self, connection: Connection, tables: Iterable[str]) -> None:
        """Have the database refuse to change or take away what those hold. Idempotent."""
        ...

    def let_change(self, connection: Connection, table: str) -> None:
        """Have it let a table's rows change, until `make_append_only`."""
        ...

    def unreadable(self, error: DBAPIError) -> UserError:
        """Return the error to raise for one at opening or reading."""
        ...

    def unstored(self, error: DBAPIError) -> UserError | None:
        """Return the error to raise for one in a transaction that writes; None: it is our fault."""
        ...

    def is_lost(self, error: DBAPIError) -> bool:
        """Whether the connection is gone, and it is not known what became of a commit."""
        ...

    def free_bytes(self) -> float:
        """Return how much room there is; infinite where only a refusal tells."""
        ...

    def close(self) -> None:
        """Let go of connection and lock. May be called twice."""
        ...


def store_to_write(place: LedgerPlace, run_id: str) -> Store:
    """Return the store of a ledger, for its one writer."""
    if isinstance(place, Path):
        from label_queue.ledger.sqlite import SqliteStore

        return SqliteStore(place, read_only=False)
    from label_queue.ledger.postgres import PostgresStore

    return PostgresStore(place, run_id)


def store_to_read(place: LedgerPlace) -> Store:
    """Return the store of a ledger that is only read."""
    if isinstance(place, Path):
        from label_queue.ledger.sqlite import SqliteStore

        return SqliteStore(place, read_only=True)
    from label_queue.ledger.postgres import PostgresStore

    return PostgresStore(place, None)
