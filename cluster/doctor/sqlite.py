"""Whether SQLite keeps its promises here: the ledger stands on them."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

from cluster.doctor.finding import Finding, failure, ok, warning
from label_queue.ledger.file import open_database
from protocol.errors import IntegrityError

MENDED = (3, 51, 3)
"""From here on a reset of the write-ahead log cannot lose what several connections wrote."""
SERIALIZED = 3
"""Value of `sqlite3.threadsafety` with which a connection may be used from any thread."""
FULL = 2
"""`PRAGMA synchronous`: a commit is on disk when it returns."""


def check_sqlite(
    folder: Path,
    found: tuple[int, ...] = sqlite3.sqlite_version_info,
    threadsafety: int = sqlite3.threadsafety,
) -> Finding:
    """Write a row in `folder` as the ledger is written, and read it by another connection."""
    text = f"{'.'.join(map(str, found))}, threads {threadsafety} of 3"
    if threadsafety != SERIALIZED:
        mend = "take a Python whose sqlite3 is built with SQLITE_THREADSAFE=1"
        return failure("sqlite", text, mend)
    try:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            problem = _try(Path(place).resolve() / "ledger.sqlite")
    except (sqlite3.Error, OSError, IntegrityError) as error:
        problem = str(error)
    if problem is not None:
        mend = "keep runs on a local disk, and see that it is not full"
        return failure("sqlite", f"{text}; {problem}", mend)
    text = f"{text}; WAL and synchronous=FULL hold at {folder}"
    if found < MENDED:
        mend = (
            f"before {'.'.join(map(str, MENDED))} several writers could lose a commit: leave the "
            "writing to the run, which has one"
        )
        return warning("sqlite", text, mend)
    return ok("sqlite", text)


def _try(path: Path) -> str | None:
    """Return what does not hold; None where all does."""
    writer = open_database(path, read_only=False)
    try:
        ((mode,),) = writer.execute("PRAGMA journal_mode=WAL").fetchall()
        writer.execute("PRAGMA synchronous=FULL")
        ((level,),) = writer.execute("PRAGMA synchronous").fetchall()
        if mode != "wal" or level != FULL:
            return f"journal_mode is {mode}, synchronous is {level}"
        with writer:
            writer.execute("CREATE TABLE labels (seq INTEGER)")
            writer.execute("INSERT INTO labels VALUES (7)")
        reader = open_database(path, read_only=True)
        try:
            rows = reader.execute("SELECT seq FROM labels").fetchall()
        finally:
            reader.close()
        return None if rows == [(7,)] else f"what was written reads as {rows}"
    finally:
        writer.close()
