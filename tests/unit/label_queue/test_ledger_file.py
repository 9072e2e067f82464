"""What is particular to a ledger in a file: SQLite's promises, lock, folder and disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from label_queue.ledger.file import refuse_network_filesystem
from label_queue.ledger.sql import SqlLedger
from label_queue.ledger.sqlite import _engine
from protocol.errors import DiskFull, InputError, MissingError, ResourceError
from tests.support.labels import make_event, make_query
from tests.support.ledger_stores import over_its_connection


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[SqlLedger]:
    ledger = SqlLedger.open(path, "run-1")
    yield ledger
    ledger.close()


def test_commits_reach_the_disk_before_they_are_acknowledged(ledger: SqlLedger) -> None:
    # What was asked for must also hold.
    assert over_its_connection(ledger, "PRAGMA journal_mode") == "wal"
    assert over_its_connection(ledger, "PRAGMA synchronous") == 2  # FULL


def test_a_failed_write_appends_nothing(ledger: SqlLedger) -> None:
    ledger.write([make_event(make_query())])
    pages = over_its_connection(ledger, "PRAGMA page_count")
    over_its_connection(ledger, f"PRAGMA max_page_count={pages}")
    events = [make_event(make_query(i)) for i in range(1, 200)]
    with pytest.raises(DiskFull, match=r"ledger\.sqlite: labels cannot be stored .*full"):
        ledger.write(events)
    assert len(ledger.events()) == 1
    over_its_connection(ledger, "PRAGMA max_page_count=100000")
    assert ledger.write(events)[-1].seq == 200  # type: ignore[union-attr]


def test_refuses_a_file_that_is_no_ledger(path: Path) -> None:
    path.write_text("not a database, but long enough to be taken for one" * 100)
    with pytest.raises(InputError, match="not a label ledger"):
        SqlLedger.open(path, "run-1")
    with pytest.raises(InputError, match="not a label ledger"):
        SqlLedger.open_to_read(path)


def open_on_full_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Open a ledger with SQLite held to one page, its way to say that the disk is full."""

    def tiny_engine(path: Path, *, read_only: bool) -> Engine:
        engine = _engine(path, read_only=read_only)
        pragma = "PRAGMA max_page_count=1"
        event.listen(engine, "connect", lambda connection, _: connection.execute(pragma))
        return engine

    with monkeypatch.context() as patch:
        patch.setattr("label_queue.ledger.sqlite._engine", tiny_engine)
        SqlLedger.open(path, "run-1")


def test_a_full_disk_at_opening_is_called_so_and_frees_the_lock(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ResourceError, match=r"ledger\.sqlite: cannot be opened .*full.*free space"):
        open_on_full_disk(path, monkeypatch)
    SqlLedger.open(path, "run-1").close()


def test_a_lock_that_cannot_be_made_is_named(path: Path) -> None:
    path.with_name("ledger.sqlite.lock").mkdir()
    with pytest.raises(ResourceError, match=r"ledger\.sqlite\.lock: cannot be written"):
        SqlLedger.open(path, "run-1")


def test_refuses_a_missing_folder_or_ledger(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="no such folder"):
        SqlLedger.open(tmp_path / "nowhere" / "ledger.sqlite", "run-1")
    with pytest.raises(MissingError, match="no such ledger"):
        SqlLedger.open_to_read(tmp_path / "ledger.sqlite")


def test_refuses_a_network_filesystem(tmp_path: Path) -> None:
    mounts = [("/", "ext4"), (str(tmp_path), "nfs4")]
    with pytest.raises(ResourceError, match="network filesystem \\(nfs4\\)"):
        refuse_network_filesystem(tmp_path / "ledger.sqlite", mounts)
    refuse_network_filesystem(tmp_path / "ledger.sqlite", [("/", "nfs"), (str(tmp_path), "ext4")])
