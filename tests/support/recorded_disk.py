"""What SQLite asks of the disk, recorded on its way there, and the disks that a crash may leave.

SQLite reaches files through a table of functions, its VFS. Here a copy of the default one stands
before it, in which opening, writing, cutting, syncing and deleting note themselves first. So the
real ledger runs on the real SQLite, and what it had asked the disk to hold at any moment is known.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_int, c_int64, c_void_p
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

SECTOR_BYTES = 512
"""What a disk writes whole or not at all."""

NAME = b"recorded"

JOURNALS = 0x00000800 | 0x00004000 | 0x00080000
"""SQLITE_OPEN_MAIN_JOURNAL, _SUPER_JOURNAL and _WAL: the first sync of such a file after it was
opened to be made is one of its folder too."""
TO_BE_MADE = 0x00000004
"""SQLITE_OPEN_CREATE."""

_OPEN = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, POINTER(c_int))
_DELETE = CFUNCTYPE(c_int, c_void_p, c_char_p, c_int)
_WRITE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_TRUNCATE = CFUNCTYPE(c_int, c_void_p, c_int64)
_SYNC = CFUNCTYPE(c_int, c_void_p, c_int)


class _Vfs(ctypes.Structure):
    _fields_ = (
        ("iVersion", c_int),
        ("szOsFile", c_int),
        ("mxPathname", c_int),
        ("pNext", c_void_p),
        ("zName", c_char_p),
        ("pAppData", c_void_p),
        ("xOpen", _OPEN),
        ("xDelete", _DELETE),
        ("others", c_void_p * 14),
    )


class _Methods(ctypes.Structure):
    _fields_ = (
        ("iVersion", c_int),
        ("xClose", c_void_p),
        ("xRead", c_void_p),
        ("xWrite", _WRITE),
        ("xTruncate", _TRUNCATE),
        ("xSync", _SYNC),
        ("others", c_void_p * 13),
    )


class _File(ctypes.Structure):
    _fields_ = (("pMethods", POINTER(_Methods)),)


@dataclass(frozen=True, slots=True)
class Operation:
    """Something that was asked of the disk, or said to a client."""

    kind: Literal["write", "truncate", "sync", "sync_folder", "delete", "said"]
    name: str = ""
    """Of the file, without its folder."""
    offset: int = 0
    """Of a write; the size, of a cut."""
    content: bytes = b""
    said: tuple[str, int] | None = None
    """An event that was acknowledged, and its number."""


class RecordedDisk:
    """All operations, in order."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self._names: dict[int, str] = {}
        self._syncs_folder: set[int] = set()
        """The files whose next sync is one of their folder too."""
        self._kept: list[object] = []
        """Tables and callbacks that SQLite holds pointers to."""

    def say(self, event_id: str, seq: int) -> None:
        """Note that a client was told of an event."""
        self.operations.append(Operation("said", said=(event_id, seq)))

    def vfs_before(self, below: _Vfs) -> _Vfs:
        """Return a VFS that notes what it is asked, and asks `below`."""
        copy = _Vfs.from_buffer_copy(below)
        copy.zName = NAME
        at_below = ctypes.addressof(below)
        open_below, delete_below = below.xOpen, below.xDelete

        def opened(_: int, name: int, file: int, flags: int, out_flags: Any) -> int:
            code = int(open_below(at_below, name, file, flags, out_flags))
            if code == 0 and name:
                path = ctypes.string_at(name)
                self._names[file] = os.path.basename(os.fsdecode(path))  # noqa: PTH119
                self._syncs_folder.discard(file)
                if flags & TO_BE_MADE and flags & JOURNALS:
                    self._syncs_folder.add(file)
                self._stand_before(_File.from_address(file))
            return code

        def deleted(_: int, name: bytes, sync: int) -> int:
            self._note("delete", os.path.basename(os.fsdecode(name)))  # noqa: PTH119
            return int(delete_below(at_below, name, sync))

        copy.xOpen, copy.xDelete = _OPEN(opened), _DELETE(deleted)
        self._kept += [copy, copy.xOpen, copy.xDelete]
        return copy

    def _stand_before(self, file: _File) -> None:
        below = file.pMethods.contents
        methods = _Methods.from_buffer_copy(below)
        write_below, truncate_below, sync_below = below.xWrite, below.xTruncate, below.xSync

        def write(at: int, content: int, size: int, offset: int) -> int:
            self._note("write", self._names[at], offset, ctypes.string_at(content, size))
            return int(write_below(at, content, size, offset))

        def truncate(at: int, size: int) -> int:
            self._note("truncate", self._names[at], size)
            return int(truncate_below(at, size))

        def sync(at: int, flags: int) -> int:
            code = int(sync_below(at, flags))
            self._note("sync", self._names[at])
            if at in self._syncs_folder:
                self._syncs_folder.discard(at)
                self._note("sync_folder", "")
            return code

        methods.xWrite, methods.xTruncate = _WRITE(write), _TRUNCATE(truncate)
        methods.xSync = _SYNC(sync)
        self._kept += [methods, methods.xWrite, methods.xTruncate, methods.xSync]
        file.pMethods = ctypes.pointer(methods)

    def _note(self, kind: Any, name: str, offset: int = 0, content: bytes = b"") -> None:
        self.operations.append(Operation(kind, name, offset, content))


@contextmanager
def recorded_disk() -> Iterator[RecordedDisk]:
    """Record all that SQLite does to files opened within the `with` block; close them there."""
    sqlite = ctypes.CDLL(_sqlite3.__file__)  # finds the library's own symbols behind the module's
    sqlite.sqlite3_vfs_find.restype = POINTER(_Vfs)
    below = sqlite.sqlite3_vfs_find(None).contents
    disk = RecordedDisk()
    before = disk.vfs_before(below)
    sqlite.sqlite3_vfs_register(ctypes.byref(before), 1)
    try:
        yield disk
    finally:
        sqlite.sqlite3_vfs_register(ctypes.byref(below), 1)
        sqlite.sqlite3_vfs_unregister(ctypes.byref(before))


@dataclass(slots=True)
class _CrashedFile:
    """A file as the disk holds it for sure, and what it may hold beside."""

    content: bytearray | None = None
    """None: not there."""
    unsynced: list[Operation] = field(default_factory=list)

    def take(self, operation: Operation) -> None:
        """Apply one operation, or a sector of one."""
        if operation.kind == "delete":
            self.content = None
            return
        content = self.content = self.content if self.content is not None else bytearray()
        if operation.kind == "truncate":
            del content[operation.offset :]
            return
        end = operation.offset + len(operation.content)
        content.extend(bytes(max(0, end - len(content))))  # a hole reads as zeros
        content[operation.offset : end] = operation.content

    def sync_name(self) -> None:
        """Have it on the disk that the file was removed, if it was."""
        removals = [i for i, each in enumerate(self.unsynced) if each.kind == "delete"]
        if removals:
            self.content = None
            del self.unsynced[: removals[-1] + 1]

    def sync(self) -> None:
        """Have everything on the disk."""
        for operation in self.unsynced:
            self.take(operation)
        self.unsynced.clear()


@dataclass(frozen=True, slots=True)
class Crash:
    """What a power loss leaves."""

    files: dict[str, bytes]
    acknowledged: dict[str, int]
    """The events that clients had been told of, and their numbers."""

    def write_into(self, folder: Path) -> None:
        """Make the files."""
        for name, content in self.files.items():
            (folder / name).write_bytes(content)


def crash_after(operations: Sequence[Operation], rng: random.Random) -> Crash:
    """Return what a power loss after these operations may leave.

    What was synced is there. Of the rest any sector may be, whatever came before or after it.
    """
    files: dict[str, _CrashedFile] = {}
    acknowledged: dict[str, int] = {}
    for operation in operations:
        if operation.said is not None:
            acknowledged.update([operation.said])
            continue
        if operation.kind == "sync_folder":
            for each in files.values():
                each.sync_name()
            continue
        file = files.setdefault(operation.name, _CrashedFile())
        if operation.kind == "sync":
            file.sync()
        else:
            file.unsynced.append(operation)
    share = rng.choice((0.0, 0.1, 0.5, 0.9, 1.0))
    for file in files.values():
        for operation in file.unsynced:
            for sector in _sectors(operation):
                if rng.random() < share:
                    file.take(sector)
    left = {name: bytes(f.content) for name, f in files.items() if f.content is not None}
    return Crash(files=left, acknowledged=acknowledged)


def _sectors(operation: Operation) -> Iterator[Operation]:
    if operation.kind != "write":
        yield operation
        return
    start, end = operation.offset, operation.offset + len(operation.content)
    while start < end:
        stop = min(end, (start // SECTOR_BYTES + 1) * SECTOR_BYTES)
        piece = operation.content[start - operation.offset : stop - operation.offset]
        yield Operation("write", operation.name, start, piece)
        start = stop
