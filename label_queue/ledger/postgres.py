"""The ledger on a PostgreSQL server: in one schema of a database, the first of its search path.

A session's advisory lock keeps other writers out. It is taken as part of connecting, so there is no
connection to write without it, and whoever has it knows that an earlier session is over.
`synchronous_commit` is on, or more.
"""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import StaticPool

from protocol.errors import DiskFull, InputError, MissingError, ResourceError, UserError

if TYPE_CHECKING:
    import psycopg

OLDEST_SERVER = 14
"""From here on there is `CREATE OR REPLACE TRIGGER`."""
CONNECTION = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
"""What the library connects with unless the URL says otherwise: a server that vanished is noticed
within half a minute, and not after hours."""
SESSION = (
    "SELECT set_config('synchronous_commit', 'on', false) "
    "WHERE current_setting('synchronous_commit') <> 'remote_apply'",
    # So the server notices a writer that vanished, and gives its lock back.
    "SET tcp_keepalives_idle = 10",
    "SET tcp_keepalives_interval = 5",
    "SET tcp_keepalives_count = 3",
    "SET idle_session_timeout = 0",
)
DURABLE = ("on", "remote_apply")
"""Values of `synchronous_commit` with which a commit is on disk when it is acknowledged."""
LOCK_CLASS = 0x616E646F
"""Sets our advisory locks apart from other programs'; a schema's number follows."""
LOST = ("08", "57P")
"""Beginnings of the SQLSTATEs of lost connections, and of servers that go or come."""
DISK_FULL = "53100"
FORBIDDEN = ("25006", "42501")
"""SQLSTATEs of a server, a session or a user that may only read."""
REFUSAL = "andon_append_only"
"""Name of the function that each table's trigger calls."""
LONGEST_NAME = 63
"""What PostgreSQL keeps of a session's name, in bytes."""
MEND_SERVER = "see that the server runs, and that it lets you in"


class PostgresStore:
    """The `Store` of a database on a server.

    Args:
        url: As `check_url` lets it through.
        run_id: Of the run whose ledger is written, which others are told; None: it is only read.
    """

    def __init__(self, url: str, run_id: str | None) -> None:
        self._url = url
        self._run_id = run_id
        self._engine: Engine | None = None
        self._session: psycopg.Connection[Any] | None = None

    @property
    def name(self) -> str:
        """The URL, in which there is no password."""
        return self._url

    @property
    def where(self) -> str:
        """The URL, too."""
        return self._url

    def connect(self) -> Connection:
        """See `Store.connect`; InputError where the database cannot hold a ledger."""
        self.close()
        driver = _driver()
        # The URL never becomes SQLAlchemy's, which reads hosts and parameters in its own way.
        self._engine = create_engine(
            "postgresql+psycopg://",
            poolclass=StaticPool,
            module=driver,
            creator=self._open_session,
            use_native_hstore=False,
        )
        try:
            return self._engine.connect()
        except BaseException:
            self.close()
            raise

    def beside(self) -> PostgresStore:
        """See `Store.beside`."""
        return PostgresStore(self._url, None)

    def begin_making(self, connection: Connection) -> None:
        """See `Store.begin_making`: tables, too, are made within the transaction."""

    def make_append_only(self, connection: Connection, tables: Iterable[str]) -> None:
        """See `Store.make_append_only`; what was switched off is on again."""
        in_force = connection.exec_driver_sql(
            "SELECT t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
            "WHERE c.relnamespace = current_schema()::regnamespace AND t.tgenabled IN ('O', 'A')"
        )
        missing = {_trigger(table): table for table in tables}
        for name in in_force.scalars():
            missing.pop(name, None)
        if missing:
            connection.exec_driver_sql(
                f"CREATE OR REPLACE FUNCTION {REFUSAL}() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$"
            )
        for name, table in missing.items():
            connection.exec_driver_sql(
                f"CREATE OR REPLACE TRIGGER {name} BEFORE UPDATE OR DELETE OR TRUNCATE "
                f"ON {table} FOR EACH STATEMENT EXECUTE FUNCTION {REFUSAL}()"
            )

    def let_change(self, connection: Connection, table: str) -> None:
        """See `Store.let_change`."""
        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {_trigger(table)} ON {table}")

    def unreadable(self, error: DBAPIError) -> UserError:
        """See `Store.unreadable`."""
        is_refused = isinstance(error, OperationalError) or _sqlstate(error) in FORBIDDEN
        if is_refused or self.is_lost(error):
            return ResourceError(f"{self._url}: cannot be opened ({_said(error)}); {MEND_SERVER}")
        return InputError(f"{self._url}: not a label ledger ({_said(error)}); name another")

    def unstored(self, error: DBAPIError) -> UserError | None:
        """See `Store.unstored`."""
        state = _sqlstate(error)
        problem = f"{self._url}: labels cannot be stored ({_said(error)})"
        if state == DISK_FULL:
            return DiskFull(f"{problem}; free space on the server's disk")
        if state in FORBIDDEN:
            return ResourceError(f"{problem}; name a user who may write")
        if isinstance(error, OperationalError) or self.is_lost(error):
            return ResourceError(f"{problem}; {MEND_SERVER}")
        return None

    def is_lost(self, error: DBAPIError) -> bool:
        """See `Store.is_lost`."""
        return error.connection_invalidated or _sqlstate(error).startswith(LOST)

    def free_bytes(self) -> float:
        """Return infinity: what the server's disk has is not told, only that it is full."""
        return math.inf

    def close(self) -> None:
        """Give the lock back and close the connection.

        The server would let the lock go by itself, some time after the connection is gone.
        """
        session, self._session = self._session, None
        if session is not None and not session.closed:
            with suppress(_driver().OperationalError):  # it is lost, and the lock with it
                session.rollback()
                session.execute("SELECT pg_advisory_unlock_all()")
        if self._engine is not None:
            self._engine.dispose()

    def _open_session(self) -> psycopg.Connection[Any]:
        """Return a connection of the driver's that may do what it is for, and nothing else."""
        driver = _driver()
        try:
            given = driver.conninfo.conninfo_to_dict(self._url)
        except driver.ProgrammingError as error:
            raise InputError(f"{self._url}: {' '.join(str(error).split())}") from error
        named = {**CONNECTION, "application_name": self._session_name(), **given}
        named["client_encoding"] = "UTF8"
        session: psycopg.Connection[Any] = driver.connect(**named, autocommit=True)
        try:
            self._refuse_unfit(session)
            if self._run_id is None:
                session.execute("SET default_transaction_read_only = on")
            else:
                self._make_durable(session)
                self._take_lock(session)
            session.autocommit = False
        except BaseException:
            session.close()
            raise
        self._session = session
        return session

    def _session_name(self) -> str:
        """Return what the server shows the session as, and whoever is refused is told."""
        does = "reading" if self._run_id is None else f"writing {self._run_id}"
        name = f"process {os.getpid()} on {socket.gethostname()[:20]}, {does}"
        return name.encode("ascii", "replace")[:LONGEST_NAME].decode()

    def _refuse_unfit(self, session: psycopg.Connection[Any]) -> None:
        row = session.execute(
            "SELECT current_setting('server_version_num')::int / 10000, "
            "current_setting('server_encoding'), current_schema()"
        ).fetchone()
        assert row is not None, "a SELECT without FROM has a row"
        version, encoding, schema = row
        if version < OLDEST_SERVER:
            raise InputError(
                f"{self._url}: is PostgreSQL {version}, and a ledger needs {OLDEST_SERVER} or newer"
            )
        if encoding != "UTF8":
            raise InputError(
                f"{self._url}: its encoding is {encoding}, which does not hold all that people "
                "write; make a database with ENCODING 'UTF8'"
            )
        if schema is None:
            raise InputError(
                f"{self._url}: no schema of its search_path is there; make one, or name another "
                "with ?options=-csearch_path%3DNAME"
            )

    def _make_durable(self, session: psycopg.Connection[Any]) -> None:
        """Raise ResourceError unless a commit is on the server's disk when it is acknowledged."""
        for statement in SESSION:
            session.execute(statement)
        row = session.execute(
            "SELECT current_setting('synchronous_commit'), current_setting('fsync')"
        ).fetchone()
        assert row is not None, "a SELECT without FROM has a row"
        synchronous, fsync = row
        if synchronous not in DURABLE or fsync != "on":
            raise ResourceError(
                f"{self._url}: with synchronous_commit = {synchronous} and fsync = {fsync} "
                "acknowledged labels may be lost; set both to on"
            )

    def _take_lock(self, session: psycopg.Connection[Any]) -> None:
        row = session.execute(
            "SELECT pg_try_advisory_lock((%s::bigint << 32) | oid::bigint), oid::bigint "
            "FROM pg_namespace WHERE nspname = current_schema()",
            (LOCK_CLASS,),
        ).fetchone()
        assert row is not None, "the schema was there a moment ago"
        is_ours, schema = row
        if is_ours:
            return
        holder = session.execute(
            "SELECT a.application_name, a.backend_start::text FROM pg_locks l "
            "JOIN pg_database d ON d.oid = l.database AND d.datname = current_database() "
            "JOIN pg_stat_activity a ON a.pid = l.pid WHERE l.locktype = 'advisory' "
            "AND l.granted AND l.classid::bigint = %s AND l.objid::bigint = %s",
            (LOCK_CLASS, schema),
        ).fetchone()
        name, since = holder or (None, None)
        who = f"{name}, since {since}" if name else "the server does not say which"
        raise ResourceError(
            f"{self._url}: another process has this ledger open ({who}); stop it, or wait for it "
            "to end"
        )


def _driver() -> Any:
    """Return psycopg, which is not everybody's. Raises MissingError where it is not installed."""
    try:
        import psycopg
    except ImportError as error:
        raise MissingError(
            "a ledger on PostgreSQL needs psycopg, which is not installed: "
            "`pip install 'andon[postgres]'`"
        ) from error
    return psycopg


def _trigger(table: str) -> str:
    return f"{table}_append_only"


def _sqlstate(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or ""


def _said(error: DBAPIError) -> str:
    """Return in one line what the server said, or the library where the server was not reached."""
    said = getattr(getattr(error.orig, "diag", None), "message_primary", None)
    return " ".join(str(said or error.orig).split())
