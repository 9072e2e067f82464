"""The file under the ledger: where it may lie, and that one process alone holds it."""

from __future__ import annotations

import fcntl
from collections.abc import Iterable
from io import TextIOWrapper
from pathlib import Path

import psutil

from protocol.errors import ResourceError

NETWORK_FILESYSTEMS = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "fuse.glusterfs", "fuse.s3fs", "fuse.sshfs", "gfs2"}
    | {"glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "smb3", "smbfs"}
)
MEND_DISK = "free space on its disk, and see that you may write there"


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
    """Hold the ledger for this process until the file is closed or the process ends, however."""
    try:
        lock = path.with_name(path.name + ".lock").open("a")
    except OSError as error:
        problem = f"{error.filename}: cannot be written ({error.strerror})"
        raise ResourceError(f"{problem}; {MEND_DISK}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise ResourceError(
            f"{path}: another process has this ledger open; stop it, or wait for it to end"
        ) from error
    return lock
