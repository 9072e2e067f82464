"""A file of lines that only grows, and that a disk which is full for a while leaves whole."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

from protocol.errors import DiskFull
from protocol.files import is_full, writing
from protocol.logs import logger_of

MOST_KEPT_BYTES = 64 * 1024 * 1024
"""Waiting in memory for room on the disk."""

_log = logger_of("files")


class AppendedFile:
    """Appends lines, each handed to the system at once.

    While the disk has no room they wait in memory, in order, and go out with a later one: half a
    line is gone on with where it broke off. So a run that waits for room loses nothing of what it
    tells, and a reader sees whole lines, but for the last.

    Args:
        path: The file; made if it is not there.
        mend: What to do where it cannot be written.
    """

    def __init__(self, path: Path, mend: str) -> None:
        self._path = path
        self._mend = mend
        self._unwritten = bytearray()
        with writing(path, mend):
            self._file = path.open("ab", buffering=0)

    def append(self, line: bytes) -> None:
        """Append a line, its end included.

        Raises:
            DiskFull: The disk has been full for so long that no more can be kept.
            ResourceError: It refuses otherwise.
        """
        was_waiting = bool(self._unwritten)
        self._unwritten += line
        with writing(self._path, self._mend):
            try:
                self._write_out()
            except OSError as error:
                if not is_full(error) or len(self._unwritten) > MOST_KEPT_BYTES:
                    raise
                if not was_waiting:
                    _log.warning("lines wait for room on the disk", path=str(self._path))

    def close(self) -> None:
        """Write what waits, and close. May be called twice. Raises as `append`."""
        if self._file.closed:
            return
        try:
            with writing(self._path, self._mend):
                self._write_out()
        except DiskFull as error:
            raise DiskFull(f"{error} ({len(self._unwritten)} bytes of it are lost)") from error
        finally:
            self._file.close()

    def _write_out(self) -> None:
        while self._unwritten:
            written = os.write(self._file.fileno(), self._unwritten)
            del self._unwritten[:written]


def cut_torn_line(path: Path) -> None:
    """Cut off a last line that a crash left half written."""
    end = next(lines_backwards(path), None)
    if end is not None and not end[1].endswith(b"\n"):
        os.truncate(path, end[0])


def lines_backwards(path: Path) -> Iterator[tuple[int, bytes]]:
    """Give the lines of a file, ends included, each with its offset, the last first.

    The last may be half written. Nothing but what is asked for is read.
    """
    if path.stat().st_size == 0:  # which cannot be mapped
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        end = len(content)
        while end > 0:
            start = content.rfind(b"\n", 0, end - 1) + 1
            yield start, content[start:end]
            end = start
