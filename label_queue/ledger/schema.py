"""The version of a ledger's tables: read before anything is done to them, and brought up to ours.

1  queries, assignments, label events, tokens and dead letters; tokens say neither role nor kind
2  beside them the cord, reward and policy versions, revocations and connectors' offsets

A change of the tables is a new version, with a step in `STEPS` that leads to it. What records say
is no part of it: a field that older ones lack has a default.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from sqlalchemy import Connection, insert, inspect, select, update

from label_queue.ledger.tables import append_only, metadata, run_table
from protocol.errors import InputError
from protocol.schema import MEND_UNKNOWN, newer_than_ours

SCHEMA_VERSION = 2


def prepare(connection: Connection, path: Path, run_id: str | None) -> None:
    """Create the tables, or bring them up to date, or check that they are of this run.

    All in one transaction, so that a ledger that is refused, or a crash, is left as it was. No
    `run_id`: any run's.
    """
    with connection.begin():
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # before tables are made it begins nothing
        version = find_version(connection, path)
        if version is not None:
            _bring_up_to_date(connection, version)
        metadata.create_all(connection)
        row = connection.execute(select(run_table)).one_or_none()
        if row is None:
            if run_id is not None:
                fresh = {"run_id": run_id, "schema_version": SCHEMA_VERSION}
                connection.execute(insert(run_table), fresh)
        elif run_id not in (None, row.run_id):
            raise InputError(f"{path}: is the ledger of run {row.run_id!r}, not {run_id!r}")
        elif row.schema_version != SCHEMA_VERSION:
            _note_version(connection)
        # Where the making was cut short, a table may be there without what belongs to it.
        for table in metadata.tables.values():
            for index in table.indexes:
                index.create(connection, checkfirst=True)
        for statement in append_only():
            connection.exec_driver_sql(statement)


def _note_version(connection: Connection) -> None:
    """Say that the tables are of our version now: the one update that a ledger ever sees."""
    connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {run_table.name}_no_update")
    connection.execute(update(run_table).values(schema_version=SCHEMA_VERSION))


def find_version(connection: Connection, path: Path) -> int | None:
    """Return the version of an open database's tables; None where it has none yet.

    A ledger that does not say its version is judged by its tables: so one whose making was cut
    short is gone on with.

    Args:
        connection: In a transaction.
        path: Of the database, for what is raised.

    Raises:
        SchemaMismatch: A newer version of Andon wrote it.
        InputError: It is no ledger, or says a version that there never was.
    """
    found = set(inspect(connection).get_table_names())
    if not found:
        return None
    name = run_table.name
    if name not in found or not set(run_table.columns.keys()) <= _columns(connection, name):
        foreign = sorted(found - (metadata.tables.keys() - {name}))
        if foreign:
            raise InputError(
                f"{path}: not a label ledger (it holds the table {foreign[0]!r}); name another"
            )
        return _by_tables(connection, found)
    says = connection.exec_driver_sql("SELECT schema_version FROM run").scalar()
    if says is None:
        return _by_tables(connection, found)
    if isinstance(says, int) and says > SCHEMA_VERSION:
        raise newer_than_ours(str(path), says, SCHEMA_VERSION)
    if says not in range(1, SCHEMA_VERSION + 1):
        raise InputError(
            f"{path}: schema_version: is {says!r}, and none before {SCHEMA_VERSION} was called so; "
            f"{MEND_UNKNOWN}"
        )
    return int(says)


def _by_tables(connection: Connection, found: Collection[str]) -> int:
    if "tokens" in found and "role" not in _columns(connection, "tokens"):
        return 1
    return SCHEMA_VERSION


def _bring_up_to_date(connection: Connection, version: int) -> None:
    """Bring older tables to our version, within the caller's transaction.

    Tables that are only missing are the caller's to make.
    """
    for step in range(version, SCHEMA_VERSION):
        STEPS[step](connection)


def _to_2(connection: Connection) -> None:
    # What either column says of older tokens is what their records say by default.
    if inspect(connection).has_table("tokens"):
        for column, default in (("role", "labeler"), ("kind", "token")):
            connection.exec_driver_sql(
                f"ALTER TABLE tokens ADD COLUMN {column} VARCHAR NOT NULL DEFAULT '{default}'"
            )


STEPS: Mapping[int, Callable[[Connection], None]] = {1: _to_2}
"""Steps to the next version, by the version that each starts from."""


def _columns(connection: Connection, table: str) -> set[str]:
    return {column["name"] for column in inspect(connection).get_columns(table)}
