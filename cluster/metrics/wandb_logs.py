"""The logs that wandb keeps in a run's folder, one for each time the run was started.

A log is a LevelDB log of protobuf records, written in blocks of 32 KiB. Whatever ends wandb's
process before its time leaves a log that ends within a record, or has nothing but its head; of
several logs `wandb sync` then sends none after that one, or none at all. So a log is made whole
before the next is begun.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Set
from pathlib import Path
from typing import BinaryIO

import psutil
from wandb.proto.wandb_internal_pb2 import HistoryRecord, Record

from cluster.metrics.names import Row
from protocol.errors import MissingError
from protocol.files import read_text
from protocol.logs import logger_of

LOGS = "*run-*/run-*.wandb"
NOTE = "noted.json"
"""What is known of a run beside its logs: `wandb clean` removes those that were sent."""
NOTE_MEND = "see that you may read it, or remove it: rows are then sent again"
HEAD_BYTES = 7
"""Bytes at the beginning of a log: what it is, and its version."""
CHUNK_HEAD = struct.Struct("<IHB")
"""Checksum of the rest, length of the content, and kind; a record has one or more chunks."""
BLOCK_BYTES = 32 * 1024
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4
STEP = "_step"
WRITER = "wandb-core"
WRITER_S = 10.0
"""For a writer whose parent was killed to notice."""
NUM_KNOWN = 1_000
"""Rows by which it is found where logs and `metrics.jsonl` part; some are written each second."""

_log = logger_of("metrics")


def make_whole(folder: Path, lost: Iterable[Row] = ()) -> list[Row]:
    """Make the logs in a run's `wandb/` whole, without rows that the run has lost.

    Nobody may write to them: a writer whose parent was killed is waited for, and ended if it stays.
    Idempotent.

    Args:
        folder: The logs'.
        lost: Rows of steps that no checkpoint holds, and that are taken again. In a log that was
            sent they stay.

    Returns:
        The last rows of all logs, up to `NUM_KNOWN`, in order.
    """
    _end_writers(folder)
    logs = []
    for path in folder.glob(LOGS):
        began_at = _began_at(path)
        if began_at is None:
            _log.warning("a log of wandb holds nothing", path=str(path))
            path.unlink()
        else:
            logs.append((began_at, path))
    rows: deque[Row] = deque(maxlen=NUM_KNOWN)
    left_out = {frozenset(row.items()) for row in lost}
    for _, path in sorted(logs):
        rows.extend(_made_whole(path, left_out))
    return list(rows)


def kept_id(folder: Path) -> str | None:
    """Return the id under which a run's `wandb/` was begun: it keeps it where its folder is moved.

    None where there is no log, and none was ever closed.
    """
    names = [path.stem.removeprefix("run-") for path in folder.glob(LOGS)]
    return min(names, default=None) or _noted_id(folder / NOTE)


def _noted_id(note: Path) -> str | None:
    try:
        said = json.loads(read_text(note, "the run's notes about wandb", NOTE_MEND))["wandb_id"]
    except (MissingError, ValueError, LookupError, TypeError):
        return None  # not there, garbled, or of before it said so
    return said if isinstance(said, str) else None


def _began_at(path: Path) -> int | None:
    """Return when its run was started, Unix nanoseconds; None where not even that is in a log."""
    with path.open("rb") as file:
        for content, _ in read_records(file):
            record = Record.FromString(content)
            if record.HasField("run"):
                return int(record.run.start_time.ToNanoseconds())
    return None


def _made_whole(path: Path, lost: Set[frozenset[tuple[str, object]]]) -> deque[Row]:
    """Leave out of a log what a kill left half written, and rows; return the last ones left."""
    if path.with_name(f"{path.name}.synced").exists():
        lost = frozenset()
    rows: deque[Row] = deque(maxlen=NUM_KNOWN)
    whole_bytes, num_lost = HEAD_BYTES, 0
    with path.open("rb") as file:
        for content, end in read_records(file):
            whole_bytes = end
            record = Record.FromString(content)
            if record.HasField("history"):
                row = row_of(record.history)
                if frozenset(row.items()) in lost:
                    num_lost += 1
                else:
                    rows.append(row)
    if num_lost:
        _log.info("rows of lost steps are left out of wandb", rows=num_lost, path=str(path))
        _leave_out(path, lost)
    elif whole_bytes < path.stat().st_size:
        _log.warning("a log of wandb ended within a record", path=str(path))
        os.truncate(path, whole_bytes)
    return rows


def _leave_out(path: Path, lost: Set[frozenset[tuple[str, object]]]) -> None:
    """Replace a log by one without some rows."""
    draft = path.with_name(f"{path.name}.draft")
    num_lost = 0
    with path.open("rb") as file, draft.open("wb") as copy:
        copy.write(file.read(HEAD_BYTES))
        file.seek(0)
        for content, _ in read_records(file):
            record = Record.FromString(content)
            if record.HasField("history"):
                if frozenset(row_of(record.history).items()) in lost:
                    num_lost += 1
                    continue
                _step_back(record.history, num_lost)
            write_record(copy, record.SerializeToString())
    draft.replace(path)


def _step_back(history: HistoryRecord, by: int) -> None:
    """Number a row anew, after some before it were left out: wandb counts rows as steps."""
    history.step.num -= by
    for item in history.item:
        if STEP in (item.key, *item.nested_key):
            item.value_json = str(int(item.value_json) - by)


def row_of(history: HistoryRecord) -> Row:
    """Return what was given to `run.log`, without wandb's own columns."""
    items = {each.key or "/".join(each.nested_key): each.value_json for each in history.item}
    return {name: json.loads(text) for name, text in items.items() if not name.startswith("_")}


def read_records(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield the whole records of a log, each with the offset of its end; stop at the first torn."""
    at = len(file.read(HEAD_BYTES))
    content = b""
    while True:
        left = BLOCK_BYTES - at % BLOCK_BYTES
        if left < CHUNK_HEAD.size:
            at += len(file.read(left))
        head = file.read(CHUNK_HEAD.size)
        if len(head) < CHUNK_HEAD.size:
            return
        checksum, num_bytes, kind = CHUNK_HEAD.unpack(head)
        chunk = file.read(num_bytes)
        if zlib.crc32(head[-1:] + chunk) != checksum:
            return
        at += len(head) + len(chunk)
        content = chunk if kind in (FULL, FIRST) else content + chunk
        if kind in (FULL, LAST):
            yield content, at


def write_record(file: BinaryIO, content: bytes) -> None:
    """Write a record at the end of a log."""
    kind, rest = FIRST, content
    while kind != LAST:
        room = BLOCK_BYTES - file.tell() % BLOCK_BYTES
        if room < CHUNK_HEAD.size:
            file.write(bytes(room))
            room = BLOCK_BYTES
        chunk, rest = rest[: room - CHUNK_HEAD.size], rest[room - CHUNK_HEAD.size :]
        is_first, kind = kind == FIRST, MIDDLE if rest else LAST
        name = (FIRST if rest else FULL) if is_first else kind
        checksum = zlib.crc32(bytes([name]) + chunk)
        file.write(CHUNK_HEAD.pack(checksum, len(chunk), name) + chunk)


def _end_writers(folder: Path) -> None:
    """Wait until no process of wandb's writes below a folder; end those that stay."""
    below = f"{folder.resolve()}{os.sep}"
    writers = [each for each in psutil.process_iter(["name"]) if _writes(each, below)]
    _, left = psutil.wait_procs(writers, WRITER_S)
    for process in left:
        process.kill()
    psutil.wait_procs(left, WRITER_S)


def _writes(process: psutil.Process, below: str) -> bool:
    try:
        return process.info["name"] == WRITER and any(
            file.path.startswith(below) for file in process.open_files()
        )
    except psutil.Error:  # it has ended, or is another user's
        return False
