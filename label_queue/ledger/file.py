"""The file under the ledger: where it may lie, that it is opened, and that one process holds it."""

from __future__ import annotations

import fcntl
import os
import shlex
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path

import psutil

from protocol.errors import DiskFull, InputError, IntegrityError, ResourceError

NETWORK_FILESYSTEMS = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "fuse.glusterfs", "fuse.s3fs", "fuse.sshfs", "gfs2"}
    | {"glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "smb3", "smbfs"}
)
MEND_DISK = "free space on its disk, and see that you may write there"
DISK_ERRORS = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}
)
"""Primary result codes that tell of the disk or of access to it, and not of what the file holds."""
FULL = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE})
"""Extended result codes of files that could not grow: no room, a quota, a limit on files."""
LONGEST_PATH_BYTES = 512 - len("-journal")
"""SQLite's limit on a file's name, less the longest ending it gives to the files beside it."""


def real_path(path: Path) -> Path:
    """Return where a ledger really lies, so that all names of it lead to one lock.

    Raises InputError where that is no path that SQLite takes.
    """
    try:
        real = path.resolve()
    except (ValueError, OSError, RuntimeError) as error:  # a NUL in it, or links in a circle
        raise InputError(f"{path}: not a path ({error}); name another") from error
    num_bytes = len(os.fsencode(real))
    if num_bytes > LONGEST_PATH_BYTES:
        raise InputError(
            f"{real}: {num_bytes} bytes long, and SQLite takes paths of at most "
            f"{LONGEST_PATH_BYTES}; put the run in a folder of a shorter path"
        )
    return real


def open_database(path: Path, *, read_only: bool) -> sqlite3.Connection:
    """Connect to the file at an absolute path, made if missing unless it is only read.

    Raises IntegrityError when SQLite opened any other file, whatever the path's characters mean
    to it: what is acknowledged would lie elsewhere.
    """
    mode = "ro" if read_only else "rwc"
    database = sqlite3.connect(f"{path.as_uri()}?mode={mode}", uri=True, check_same_thread=False)
    try:
        _prove_file(database, path)
    except BaseException:
        database.close()
        raise
    return database


def sqlite_problem(path: Path, error: BaseException | None) -> InputError | ResourceError:
    """Return the error to raise for one of SQLite's.

    What SQLite puts down to the disk says nothing about the file: that is a ResourceError.
    """
    # The low byte is the kind of error, the others its details.
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in DISK_ERRORS:
        return ResourceError(f"{path}: cannot be opened ({error}); {MEND_DISK}")
    return InputError(f"{path}: not a label ledger ({error}); name another")


def unstored(path: Path, error: BaseException | None) -> ResourceError:
    """Return the error to raise where SQLite could not commit."""
    is_full = getattr(error, "sqlite_errorcode", 0) in FULL
    kind = DiskFull if is_full else ResourceError
    return kind(f"{path}: labels cannot be stored ({error}); free space on its disk")


def _prove_file(database: sqlite3.Connection, path: Path) -> None:
    database.text_factory = bytes  # a path need not be UTF-8
    ((_, _, opened),) = database.execute("PRAGMA database_list").fetchall()
    database.text_factory = str
    if not opened or not path.samefile(os.fsdecode(opened)):
        raise IntegrityError(f"{path}: SQLite opened {os.fsdecode(opened)!r} instead of it")


def refuse_network_filesystem(path: Path, mounts: Iterable[tuple[str, str]] | None = None) -> None:
    """Raise ResourceError unless the ledger's folder exists on a local disk.

    SQLite's locks and its write-ahead log are not safe over a network. `mounts` are (mount point,
    filesystem type) pairs; by default, this machine's.
    """
    folder = path.parent.resolve()
    if not folder.is_dir():
        raise ResourceError(f"{folder}: no such folder for the ledger; make it first")
    if mounts is None:
        mounts = [(part.mountpoint, part.fstype) for part in psutil.disk_partitions(all=True)]
    above = [(point, kind) for point, kind in mounts if folder.is_relative_to(point)]
    point, kind = max(above, key=lambda mount: len(mount[0]), default=("/", ""))
    if kind in NETWORK_FILESYSTEMS:
        raise ResourceError(
            f"{path}: {point} is a network filesystem ({kind}), on which SQLite may lose labels; "
            "put the run folder on a local disk"
        )


def take_lock(path: Path) -> TextIOWrapper:
    """Hold the ledger for this process until the file is closed or the process ends, however.

    The file beside it says who holds it, for whoever finds it held.
    """
    place = path.with_name(path.name + ".lock")
    try:
        lock = place.open("a")
    except OSError as error:
        problem = f"{error.filename}: cannot be written ({error.strerror})"
        raise ResourceError(f"{problem}; {MEND_DISK}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise ResourceError(
            f"{path}: another process has this ledger open ({_holder(place)}); stop it, or wait "
            "for it to end"
        ) from error
    with suppress(OSError):  # a full disk, on which the ledger can still be read
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {os.uname().nodename}\n")
        lock.flush()
    return lock


def _holder(lock: Path) -> str:
    """Return who holds the ledger, as its lock says, or what would tell."""
    said = ""
    with suppress(OSError, ValueError):
        said = lock.read_text(encoding="utf-8").strip()
    return said if said.isprintable() and said else f"`fuser {shlex.quote(str(lock))}` names it"
