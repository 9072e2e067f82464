"""A ledger is opened by its path: whatever its characters mean elsewhere, it lies there."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from label_queue.ledger.file import LONGEST_PATH_BYTES
from label_queue.ledger.sql import SqlLedger
from protocol.errors import InputError, IntegrityError, ResourceError
from tests.support.labels import make_assignment, make_event, make_query
from tests.support.odd_names import ODD_NAMES
from tests.support.other_user import open_folder, other_user


def write_one(path: Path, run_id: str) -> None:
    ledger = SqlLedger.open(path, run_id)
    query = make_query()
    ledger.write([query, make_assignment(query), make_event(query)])
    ledger.close()


def num_events(path: Path) -> int:
    ledger = SqlLedger.open_to_read(path)
    try:
        return len(ledger.events())
    finally:
        ledger.close()


@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
def test_labels_lie_at_the_path_that_was_asked_for(tmp_path: Path, name: str) -> None:
    path = tmp_path / name / f"{name}.sqlite"
    path.parent.mkdir()
    write_one(path, "run-1")
    with closing(sqlite3.connect(path)) as plain:  # by its path alone, as other programs do
        assert plain.execute("SELECT count(*) FROM label_events").fetchone() == (1,)
    assert num_events(path) == 1
    assert list(tmp_path.rglob("*.sqlite")) == [path]


def test_two_runs_that_differ_behind_a_sharp_share_nothing(tmp_path: Path) -> None:
    one, two = tmp_path / "a#1.sqlite", tmp_path / "a#2.sqlite"
    first = SqlLedger.open(one, "run-1")
    second = SqlLedger.open(two, "run-2")
    query = make_query()
    first.write([query, make_assignment(query), make_event(query)])
    assert second.events() == []
    first.close()
    second.close()


def test_all_names_of_a_ledger_lead_to_one_lock(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    link.symlink_to(real)
    (tmp_path / "other.sqlite").symlink_to(real / "ledger.sqlite")
    ledger = SqlLedger.open(real / "ledger.sqlite", "run-1")
    for path in (link / "ledger.sqlite", tmp_path / "other.sqlite"):
        with pytest.raises(ResourceError, match="another process has this ledger open"):
            SqlLedger.open(path, "run-1")
    ledger.close()


def test_a_path_beyond_sqlite_is_refused_and_the_longest_is_not(tmp_path: Path) -> None:
    def path_of(num_bytes: int) -> Path:
        folder = tmp_path
        while num_bytes - len(os.fsencode(folder)) > 220:
            folder /= "d" * 100
        folder.mkdir(parents=True, exist_ok=True)
        return folder / ("l" * (num_bytes - len(os.fsencode(folder)) - 1))

    write_one(path_of(LONGEST_PATH_BYTES), "run-1")
    with pytest.raises(InputError, match=f"{LONGEST_PATH_BYTES + 1} bytes long, and SQLite"):
        SqlLedger.open(path_of(LONGEST_PATH_BYTES + 1), "run-1")


def test_another_file_than_that_asked_for_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect

    def elsewhere(*_: object, **__: object) -> sqlite3.Connection:
        return connect(tmp_path / "elsewhere.sqlite", check_same_thread=False)

    monkeypatch.setattr("label_queue.ledger.file.sqlite3.connect", elsewhere)
    path = tmp_path / "ledger.sqlite"
    path.touch()
    for opening in (partial(SqlLedger.open, path, "r"), partial(SqlLedger.open_to_read, path)):
        with pytest.raises(IntegrityError, match=r"ledger\.sqlite: SQLite opened '.*elsewhere"):
            opening()


def test_a_circle_of_links_and_a_zero_are_no_paths(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    for path in (tmp_path / "a" / "ledger.sqlite", tmp_path / "a\0b"):
        with pytest.raises(InputError, match="not a path"):
            SqlLedger.open(path, "run-1")


def test_a_ledger_of_another_user_s_is_named() -> None:
    with open_folder() as folder:
        hidden = folder / "hidden"
        hidden.mkdir(mode=0o700)
        write_one(hidden / "ledger.sqlite", "run-1")
        closed = folder / "ledger.sqlite"
        write_one(closed, "run-1")
        closed.chmod(0o600)
        if os.geteuid() != 0:
            hidden.chmod(0)
            closed.chmod(0)
        with other_user():
            for path in (hidden / "ledger.sqlite", closed):
                with pytest.raises(ResourceError, match=r"ledger\.sqlite"):
                    SqlLedger.open_to_read(path)
        hidden.chmod(0o700)
