"""A file that another program appends answers to, one JSON object a line.

What a line says is in `jsonl_lines`. A line that says nothing to us is refused alone; so is one
that is too long, which is passed over piece by piece.

The offset is the file's inode, the byte after the last line read, and a digest of what stands
before it: where they do not fit, the file was truncated or is another, and is read from its
beginning; lines read before have no effect again, each as often as it was read
(`label_queue.folds.read_lines`). One that was rotated to a name beside it ("x.jsonl.1") is read to
its end first, and the lines of the next are all new. A last line without a line break waits for it;
in a file that was rotated away none may ever come, so it is whole once the next file has a line and
it has stood the same from one sweep to the next: who wrote it may have been at it still.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydantic import BaseModel, ValidationError

from label_queue.connector_config import JsonlConfig
from label_queue.connectors.jsonl_lines import Line, content_of, read_line, unreadable_line
from label_queue.connectors.one_way import OneWay, task_line
from label_queue.connectors.port import OutsideTask, Sweep, Unreadable
from label_queue.connectors.rows import problem_of
from protocol.errors import ResourceError

MAX_READ_BYTES = 4 * 1024 * 1024
"""Bytes read at once; a line must fit."""
MAX_MARK_BYTES = 4096
"""Bytes before an offset, at most, by which a file is known again."""


class _Offset(Line):
    """How far a file was read."""

    inode: int
    position: int
    """The byte after the last one read."""
    length: int
    """Bytes before `position` that `sha256` is of: the last line's, its end included, or its last
    ones."""
    sha256: str
    is_within_line: bool = False
    """Whether what follows is the rest of a line that is too long."""
    turn: int = 0
    """How many files it follows that were rotated away."""


class _TaskLine(BaseModel):
    """A line of the tasks, as far as it is read again."""

    query_id: str


class JsonlConnector(OneWay):
    """The `Connector` port over a growing file."""

    def __init__(self, config: JsonlConfig, *, run_id: str) -> None:
        self._config = config
        self._run_id = run_id
        self._tasks: dict[str, str] = {}
        """The queries whose tasks were written, by themselves."""
        self._tasks_read: _Offset | None = None
        """How far the file of the tasks was read in this life."""
        self._unended: _Offset | None = None
        """The end of the last line without a line break that the sweep before left to its writer,
        of a file that was rotated away."""

    @property
    def name(self) -> str:
        """Unique in the run."""
        return self._config.name

    async def sweep(self, offset: str | None) -> Sweep:
        """Read whole lines after `offset`; a last line without its end waits for it.

        Raises ResourceError when a file cannot be read.
        """
        return await asyncio.to_thread(self._sweep, offset)

    def _sweep(self, offset: str | None) -> Sweep:
        last = _parse_offset(offset)
        read = self._read_next(last)
        part = "" if read.offset is None else str(read.offset.turn)
        answers = [read_line(line, part) for line in read.lines if content_of(line)]
        if read.too_long is not None:
            digest = hashlib.sha256(read.too_long).hexdigest()
            message = f"the line is over {MAX_READ_BYTES} bytes: shorten it"
            answers.append(unreadable_line(read.too_long, digest, "", message, part))
        odd_lines = self._tasks_written()
        return Sweep(
            answers=(*answers, *odd_lines),
            begun=frozenset({part}) if _is_begun(read, last) else frozenset(),
            says_again=True,
            offset=None if read.offset is None else read.offset.model_dump_json(),
            tasks=dict(self._tasks),
            has_more=read.offset != last,
        )

    def _read_next(self, last: _Offset | None) -> _Read:
        """Return what follows an offset, in the file that was read or in those after it."""
        live = self._config.path
        with _looking(live):
            before = _moved_away(live, last)
        is_rotated = bool(before) and _is_rotated(before[0], live)
        read = _Read(offset=last, is_from_start=False)
        for number, path in enumerate((*before, live)):
            read = _read_after(path, last, follows=is_rotated and number > 0)
            if read.offset != last:
                left = self._read_ends(before[:number], last) if is_rotated else None
                return left or read
        return read

    def _read_ends(self, paths: Sequence[Path], last: _Offset | None) -> _Read | None:
        """Return what is left of files that were rotated away, where a later one has lines by now.

        None: nothing is. They are looked at once more, as their writer may have ended a line just
        before it began the next file.
        """
        for number, path in enumerate(paths):
            read = _read_after(path, last, follows=number > 0, is_over=True)
            if read.offset == last:
                continue
            if read.is_ended or read.offset == self._unended:
                return read
            self._unended = read.offset
            return _Read(offset=last, is_from_start=False)
        return None

    def _tasks_written(self) -> list[Unreadable]:
        """Learn of the tasks that were written since the last time; return lines that are no task.

        A crash may have left half a line: its task is written once more.
        """
        path = self._config.tasks_path
        if path is None:
            return []
        odd: list[Unreadable] = []
        while True:
            read = _read_after(path, self._tasks_read)
            if read.is_from_start:
                self._tasks.clear()
            if read.offset == self._tasks_read:
                self._tasks_read = None if read.is_from_start else read.offset
                return odd
            self._tasks_read = read.offset
            for line in read.lines:
                try:
                    query_id = _TaskLine.model_validate_json(line).query_id
                    self._tasks[query_id] = query_id
                except ValidationError as error:
                    if content_of(line):
                        message = "a line of the tasks is none: only Andon may write there"
                        digest = hashlib.sha256(line).hexdigest()
                        odd.append(unreadable_line(line, digest, problem_of(error)[0], message))

    async def push(self, tasks: Sequence[OutsideTask]) -> None:
        """Append tasks to their file, if there is one. Raises ResourceError."""
        if self._config.tasks_path is not None:
            await asyncio.to_thread(self._write_tasks, self._config.tasks_path, tasks)

    def _write_tasks(self, path: Path, tasks: Sequence[OutsideTask]) -> None:
        lines = [task_line(task, run_id=self._run_id) for task in tasks]
        try:
            with path.open("a+b") as file:
                if file.tell():
                    file.seek(-1, os.SEEK_END)
                    # What a crash cut short ends here.
                    file.write(b"" if file.read(1) == b"\n" else b"\n")
                for line in lines:
                    file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        except OSError as error:
            raise ResourceError(f"{path}: cannot be written ({error.strerror})") from error

    async def close(self) -> None:
        """Do nothing: files are open only while they are read."""


_ROTATED = re.compile(r"[.-]\d[\d.T_-]*")
"""What a rotation puts behind a file's name: a number or a date; not ".gz", which is no text."""


def _is_rotated(path: Path, live: Path) -> bool:
    """Say whether a file was rotated away; an editor's copy of what it wrote anew was not."""
    return _ROTATED.fullmatch(path.name, len(live.name)) is not None


@contextmanager
def _looking(path: Path) -> Iterator[None]:
    """Turn what the disk refuses while a file is looked for or read into ResourceError."""
    try:
        yield
    except OSError as error:
        raise ResourceError(f"{path}: cannot be read ({error.strerror})") from error


def _parse_offset(offset: str | None) -> _Offset | None:
    """Return how far was read. The ledger's own word, so a bad one is a bug."""
    return None if offset is None else _Offset.model_validate_json(offset)


def _moved_away(path: Path, last: _Offset | None) -> list[Path]:
    """Return where files lie that were rotated away before their ends were read, oldest first.

    That is the one that was read last, e.g. "x.jsonl.2", and what was rotated since, "x.jsonl.1";
    none where the first is gone. Raises OSError where the folder may not be looked into.
    """
    live = _stat(path)
    if last is None or (live is not None and live.st_ino == last.inode):
        return []
    # Not by a pattern: the name may hold characters that mean something else there.
    siblings = [each for each in path.parent.iterdir() if each.name.startswith(path.name)]
    found = [(each, _stat(each)) for each in sorted(siblings) if each != path]
    # What was rotated is written to no more, so its time says in which turn that was.
    rotated = [(stat.st_mtime_ns, each, stat.st_ino) for each, stat in found if stat is not None]
    known = next((at for at, _, inode in rotated if inode == last.inode), None)
    if known is None:
        return []
    return [
        each
        for at, each, inode in sorted(rotated)
        if inode == last.inode or (at > known and _is_rotated(each, path))
    ]


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """What a reading of a file brought."""

    offset: _Offset | None
    is_from_start: bool
    """Whether the offset did not fit the file, if there was one, or there is no file."""
    lines: tuple[bytes, ...] = ()
    """Whole lines, with their ends if they have any."""
    too_long: bytes | None = None
    """The beginning of a line that is too long to be read."""
    is_ended: bool = True
    """False: the one line has no line break."""


def _is_begun(read: _Read, last: _Offset | None) -> bool:
    """Say whether lines are the first of what was read before, or of what stands in its place."""
    if last is None or read.offset is None or read.offset == last:
        return False
    return read.is_from_start and read.offset.turn == last.turn


def _read_after(
    path: Path, last: _Offset | None, *, follows: bool = False, is_over: bool = False
) -> _Read:
    """Return the whole lines after an offset, and how far that is.

    A file that is not there yet has none. One of which nothing can be read yet is known from its
    beginning, so that it is found where it is rotated away. Raises ResourceError as `sweep`.

    Args:
        path: The file.
        last: How far it was read, or another in its place.
        follows: Whether that other was rotated away, and this one is the next.
        is_over: Whether a last line needs no end.
    """
    goes_on = False
    try:
        with path.open("rb") as file:
            inode = os.fstat(file.fileno()).st_ino
            goes_on = last is not None and _fits(file, last, inode)
            start = last.position if last is not None and goes_on else 0
            file.seek(start)
            chunk = file.read(MAX_READ_BYTES)
    except FileNotFoundError:
        return _Read(offset=last, is_from_start=True)
    except OSError as error:
        raise ResourceError(f"{path}: cannot be read ({error.strerror})") from error
    turn = (0 if last is None else last.turn) + (follows and not goes_on)
    is_within = last is not None and goes_on and last.is_within_line
    begin = chunk.find(b"\n") + 1 if is_within else 0
    end = chunk.rfind(b"\n") + 1
    offset, lines, too_long, is_ended = last, tuple[bytes, ...](), None, True
    if end > begin:
        lines = tuple(line + b"\n" for line in chunk[begin:end].split(b"\n")[:-1])
        offset = _offset(inode, turn, start + end, lines[-1])
    elif end:  # no more than the rest of a line that is too long
        offset = _offset(inode, turn, start + end, chunk[:end])
    elif chunk and (is_within or len(chunk) == MAX_READ_BYTES):
        offset = _offset(inode, turn, start + len(chunk), chunk, is_within_line=True)
        too_long = None if is_within else chunk
    elif chunk and is_over:
        offset = _offset(inode, turn, start + len(chunk), chunk)
        lines, is_ended = (chunk,), False
    elif chunk and last is None:
        offset = _offset(inode, turn, 0, b"")
    return _Read(
        offset=offset,
        is_from_start=not goes_on,
        lines=lines,
        too_long=too_long,
        is_ended=is_ended,
    )


def _offset(
    inode: int, turn: int, position: int, before: bytes, *, is_within_line: bool = False
) -> _Offset:
    mark = before[-MAX_MARK_BYTES:]
    return _Offset(
        turn=turn,
        inode=inode,
        position=position,
        length=len(mark),
        sha256=hashlib.sha256(mark).hexdigest(),
        is_within_line=is_within_line,
    )


def _fits(file: BinaryIO, last: _Offset, inode: int) -> bool:
    """Say whether a file is the one that was read, and still holds the last line where it was."""
    if inode != last.inode:
        return False
    file.seek(last.position - last.length)
    return hashlib.sha256(file.read(last.length)).hexdigest() == last.sha256
