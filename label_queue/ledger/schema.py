"""The version of a ledger's tables: read before anything is done to them, and brought up to ours.

1  queries, assignments, label events, tokens and dead letters; tokens say neither role nor kind
2  beside them the cord, reward and policy versions, revocations and connectors' offsets
3  beside them changes of people's roles

A change of the tables is a new version: a revision of that number in `migrations/versions`, and
`tables` as it leaves them. Steps only add, so that a reader takes an older ledger as it is. What
records say is no part of it: a field that older ones lack has a default.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, inspect, select, update

from label_queue.ledger.stores import Store
from label_queue.ledger.tables import STREAMS, metadata, run_table
from protocol.errors import InputError
from protocol.schema import MEND_UNKNOWN, newer_than_ours

SCHEMA_VERSION = 3
MIGRATIONS = Path(__file__).parent / "migrations"


def prepare(connection: Connection, store: Store, run_id: str) -> None:
    """Create the tables, or bring them up to date, or check that they are of this run.

    All in one transaction, so that a ledger that is refused, or a crash, is left as it was.
    """
    with connection.begin():
        store.begin_making(connection)
        version = find_version(connection, store.name)
        if version is not None and version < SCHEMA_VERSION:
            upgrade(connection, version, SCHEMA_VERSION)
        metadata.create_all(connection)
        row = connection.execute(select(run_table)).one_or_none()
        if row is None:
            fresh = {"run_id": run_id, "schema_version": SCHEMA_VERSION}
            connection.execute(insert(run_table), fresh)
        elif row.run_id != run_id:
            raise InputError(f"{store.name}: is the ledger of run {row.run_id!r}, not {run_id!r}")
        elif row.schema_version != SCHEMA_VERSION:
            _note_version(connection, store)
        # Where the making was cut short, a table may be there without what belongs to it.
        for table in metadata.tables.values():
            for index in table.indexes:
                index.create(connection, checkfirst=True)
        store.make_append_only(connection, metadata.tables)


def _note_version(connection: Connection, store: Store) -> None:
    """Say that the tables are of our version now: the one update that a ledger ever sees."""
    store.let_change(connection, run_table.name)
    connection.execute(update(run_table).values(schema_version=SCHEMA_VERSION))


def upgrade(connection: Connection, version: int | None, to: int) -> None:
    """Take the steps from one version of the tables to another, in the caller's transaction.

    Args:
        connection: In a transaction.
        version: That the tables are of; None: there are none yet.
        to: A version that was ever shipped.
    """
    # Few openings need it, and to import it takes as long as SQLAlchemy.
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    lower = "base" if version is None else str(version)
    steps = ScriptDirectory(str(MIGRATIONS)).iterate_revisions(str(to), lower)
    with Operations.context(MigrationContext.configure(connection)):
        for step in reversed(list(steps)):
            step.module.upgrade()


def kinds_in(connection: Connection) -> Collection[Any]:
    """Return the kinds of records whose tables are there: of an older ledger, some are not."""
    found = set(inspect(connection).get_table_names())
    return [kind for kind, stream in STREAMS.items() if stream.table.name in found]


def find_version(connection: Connection, name: str) -> int | None:
    """Return the version of an open database's tables; None where it has none yet.

    A ledger that does not say its version is judged by its tables: so one whose making was cut
    short is gone on with.

    Args:
        connection: In a transaction.
        name: What the database is called in what is raised.

    Raises:
        SchemaMismatch: A newer version of Andon wrote it.
        InputError: It is no ledger, or says a version that there never was.
    """
    found = set(inspect(connection).get_table_names())
    if not found:
        return None
    run = run_table.name
    if run not in found or not set(run_table.columns.keys()) <= _columns(connection, run):
        foreign = sorted(found - (metadata.tables.keys() - {run}))
        if foreign:
            raise InputError(
                f"{name}: not a label ledger (it holds the table {foreign[0]!r}); name another"
            )
        return _by_tables(connection, found)
    says = connection.exec_driver_sql("SELECT schema_version FROM run").scalar()
    if says is None:
        return _by_tables(connection, found)
    if isinstance(says, int) and says > SCHEMA_VERSION:
        raise newer_than_ours(name, says, SCHEMA_VERSION)
    if says not in range(1, SCHEMA_VERSION + 1):
        raise InputError(
            f"{name}: schema_version: is {says!r}, and none before {SCHEMA_VERSION} was called so; "
            f"{MEND_UNKNOWN}"
        )
    return int(says)


def _by_tables(connection: Connection, found: Collection[str]) -> int:
    if "tokens" in found and "role" not in _columns(connection, "tokens"):
        return 1
    return SCHEMA_VERSION


def _columns(connection: Connection, table: str) -> set[str]:
    return {column["name"] for column in inspect(connection).get_columns(table)}
