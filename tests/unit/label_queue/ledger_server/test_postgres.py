"""What is particular to a ledger on a PostgreSQL server: its lock, settings, errors and access."""

from __future__ import annotations

import builtins
import math
import os
import re
import socket
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from label_queue.ledger.postgres import LONGEST_NAME, OLDEST_SERVER, PostgresStore
from label_queue.ledger.sql import SqlLedger
from protocol.errors import DiskFull, InputError, MissingError, ResourceError
from tests.support.labels import make_event, make_query
from tests.support.ledger_stores import over_its_connection
from tests.support.postgres_server import PostgresServer

SECRET = "tr0ub4dor"


def test_commits_reach_the_disk_before_they_are_acknowledged(ledger: SqlLedger) -> None:
    assert over_its_connection(ledger, "SHOW synchronous_commit") == "on"
    assert over_its_connection(ledger, "SHOW fsync") == "on"


def test_whatever_a_url_asks_for_commits_wait_for_the_disk(url: str) -> None:
    for asked, holds in (("off", "on"), ("local", "on"), ("remote_apply", "remote_apply")):
        ledger = SqlLedger.open(f"{url}%20-csynchronous_commit%3D{asked}", "run-1")
        assert over_its_connection(ledger, "SHOW synchronous_commit") == holds
        ledger.close()


def test_a_ledger_that_was_closed_is_free_at_once(postgres: PostgresServer, url: str) -> None:
    for _ in range(20):
        SqlLedger.open(url, "run-1").close()
        assert postgres.execute("SELECT * FROM pg_locks WHERE locktype = 'advisory'") == []


def test_a_session_that_does_not_wait_for_the_disk_is_refused(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("label_queue.ledger.postgres.SESSION", ("SET synchronous_commit = off",))
    with pytest.raises(ResourceError, match=r"synchronous_commit = off and fsync = on .* set both"):
        SqlLedger.open(url, "run-1")


def test_a_server_without_fsync_is_refused_to_write_and_not_to_read(
    postgres: PostgresServer, url: str
) -> None:
    SqlLedger.open(url, "run-1").close()
    postgres.execute("ALTER SYSTEM SET fsync = off")
    try:
        postgres.stop()
        postgres.start()
        with pytest.raises(ResourceError, match="fsync = off acknowledged labels may be lost"):
            SqlLedger.open(url, "run-1")
        SqlLedger.open_to_read(url).close()
    finally:
        postgres.execute("ALTER SYSTEM RESET fsync")
        postgres.stop()
        postgres.start()
    SqlLedger.open(url, "run-1").close()


def test_who_holds_it_is_told_to_a_second_writer(ledger: SqlLedger, url: str) -> None:
    who = f"process {os.getpid()} on {socket.gethostname()[:20]}, writing run-1, since 20"
    with pytest.raises(ResourceError, match=re.escape(who)):
        SqlLedger.open(url, "run-1")


def test_two_schemas_of_a_database_are_two_ledgers(
    ledger: SqlLedger, postgres: PostgresServer
) -> None:
    other = SqlLedger.open(postgres.new_schema(), "run-2")
    ledger.write([make_event(make_query())])
    assert other.events() == []
    other.close()


def test_a_name_too_long_for_the_server_is_cut(url: str) -> None:
    store = PostgresStore(url, "π" * 100)
    assert len(store._session_name()) == LONGEST_NAME
    SqlLedger.open(url, "π" * 100).close()


def test_nothing_that_was_written_may_be_emptied(
    ledger: SqlLedger, url: str, postgres: PostgresServer
) -> None:
    event = make_event(make_query())
    written = ledger.write([event])
    for statement in (
        "TRUNCATE label_events",
        "TRUNCATE run, queries CASCADE",
        "INSERT INTO label_events SELECT * FROM label_events "
        "ON CONFLICT (seq) DO UPDATE SET body = ''",
        "MERGE INTO label_events a USING run ON true WHEN MATCHED THEN DELETE",
    ):
        with pytest.raises(Exception, match="append-only"):
            postgres.execute(statement, url)
    assert ledger.events() == written


def test_a_trigger_that_was_switched_off_is_on_again(url: str, postgres: PostgresServer) -> None:
    SqlLedger.open(url, "run-1").close()
    postgres.execute("ALTER TABLE run DISABLE TRIGGER run_append_only", url)
    postgres.execute("UPDATE run SET schema_version = schema_version", url)
    SqlLedger.open(url, "run-1").close()
    with pytest.raises(Exception, match="append-only"):
        postgres.execute("UPDATE run SET schema_version = schema_version", url)


def test_a_full_disk_of_the_server_is_one(
    ledger: SqlLedger, url: str, postgres: PostgresServer
) -> None:
    ledger.write([make_event(make_query())])
    postgres.execute(
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION "
        "'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$",
        url,
    )
    postgres.execute(
        "CREATE TRIGGER full_disk BEFORE INSERT ON label_events EXECUTE FUNCTION full_disk()", url
    )
    with pytest.raises(DiskFull, match=r"No space left.*free space on the server's disk") as told:
        ledger.write([make_event(make_query(1))])
    assert str(told.value).startswith(f"{url}: labels cannot be stored")
    postgres.execute("DROP TRIGGER full_disk ON label_events", url)
    [event] = ledger.write([make_event(make_query(1))])
    assert [each.seq for each in ledger.events()] == [1, 2]
    assert ledger.events()[1] == event
    assert ledger.free_bytes() == math.inf
    assert ledger.where == url


def test_a_database_of_another_encoding_is_refused(postgres: PostgresServer) -> None:
    postgres.execute("CREATE DATABASE old ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(InputError, match="its encoding is SQL_ASCII"):
        SqlLedger.open(postgres.url(database="old"), "run-1")


def test_a_schema_that_is_not_there_is_named_with_its_mend(postgres: PostgresServer) -> None:
    with pytest.raises(InputError, match="no schema of its search_path is there"):
        SqlLedger.open(postgres.url(options="-csearch_path=nowhere"), "run-1")


def test_an_older_server_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("label_queue.ledger.postgres.OLDEST_SERVER", 99)
    with pytest.raises(InputError, match=r"is PostgreSQL \d\d, and a ledger needs 99 or newer"):
        SqlLedger.open(url, "run-1")
    assert OLDEST_SERVER == 14


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({"host": "/nowhere"}, "cannot be opened .*No such file.* see that the server runs"),
        ({"database": "none"}, 'database "none" does not exist'),
        ({"user": "nobody_s"}, 'role "nobody_s" does not exist'),
    ],
)
def test_a_server_that_cannot_be_reached_is_named(
    postgres: PostgresServer, parameters: Mapping[str, str], problem: str
) -> None:
    url = postgres.url(**parameters)
    openings: list[Callable[[], SqlLedger]] = [
        lambda: SqlLedger.open(url, "run-1"),
        lambda: SqlLedger.open_to_read(url),
    ]
    for opening in openings:
        with pytest.raises(ResourceError, match=problem) as told:
            opening()
        assert str(told.value).startswith(f"{url}: ")
        assert "\n" not in str(told.value)


def test_a_parameter_that_the_library_does_not_know_is_named(postgres: PostgresServer) -> None:
    with pytest.raises(InputError, match="colour"):
        SqlLedger.open(postgres.url(colour="red"), "run-1")


def test_a_user_needs_no_more_than_to_append(postgres: PostgresServer, url: str) -> None:
    SqlLedger.open(url, "run-1").close()
    postgres.execute("CREATE ROLE clerk LOGIN")
    schema = url.rpartition("%3D")[2]
    postgres.execute(f"GRANT USAGE ON SCHEMA {schema} TO clerk")
    postgres.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO clerk")
    ledger = SqlLedger.open(url.replace("andon@", "clerk@"), "run-1")
    with pytest.raises(ResourceError, match=r"permission denied .* name a user who may write"):
        ledger.write([make_event(make_query())])
    postgres.execute(f"GRANT INSERT ON ALL TABLES IN SCHEMA {schema} TO clerk")
    written = ledger.write([make_event(make_query())])
    assert ledger.events() == written
    ledger.close()


def test_a_user_who_may_not_make_tables_is_told(postgres: PostgresServer, url: str) -> None:
    postgres.execute("CREATE ROLE guest LOGIN")
    postgres.execute(f"GRANT USAGE ON SCHEMA {url.rpartition('%3D')[2]} TO guest")
    with pytest.raises(ResourceError, match="permission denied for schema"):
        SqlLedger.open(url.replace("andon@", "guest@"), "run-1")


def test_without_the_driver_the_extra_is_named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = builtins.__import__

    def without(name: str, *arguments: Any, **more: Any) -> Any:
        if name.partition(".")[0] == "psycopg":
            raise ImportError(name)
        return whole(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingError, match=r"pip install 'andon\[postgres\]'"):
        SqlLedger.open(url, "run-1")


def test_a_password_comes_from_the_environment_and_is_never_told(
    postgres: PostgresServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    postgres.execute(f"CREATE ROLE secretive LOGIN SUPERUSER PASSWORD '{SECRET}'")
    url = postgres.new_schema().replace("andon@", "secretive@")
    monkeypatch.setenv("PGPASSWORD", SECRET)
    ledger = SqlLedger.open(url, "run-1")
    assert SECRET not in ledger.where
    with pytest.raises(ResourceError) as held:
        SqlLedger.open(url, "run-1")
    sessions = postgres.execute("SELECT application_name, query FROM pg_stat_activity")
    ledger.close()

    monkeypatch.setenv("PGPASSWORD", f"not {SECRET}")
    with pytest.raises(ResourceError, match="password authentication failed") as refused:
        SqlLedger.open(url, "run-1")
    monkeypatch.delenv("PGPASSWORD")
    with pytest.raises(ResourceError, match="no password supplied") as missing:
        SqlLedger.open(url, "run-1")
    told = [held, refused, missing]
    chain = [each.value.__cause__ or each.value for each in told]
    assert SECRET not in "".join(map(str, (*(each.value for each in told), *chain, sessions)))
    assert SECRET not in caplog.text
