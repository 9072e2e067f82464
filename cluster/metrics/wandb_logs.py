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
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import psutil
import structlog
from wandb.proto.wandb_internal_pb2 import HistoryRecord, Record

from cluster.metrics.names import Row

HEAD_BYTES = 7
"""Of the file: what it is, and its version."""
CHUNK_HEAD = struct.Struct("<IHB")
"""Checksum of the rest, length of the content, and kind; a record has one or more chunks."""
BLOCK_BYTES = 32 * 1024
FULL, FIRST, LAST = 1, 2, 4
WRITER = "wandb-core"
WRITER_S = 10.0
"""For a writer whose parent was killed to notice."""

_log = structlog.get_logger(component="metrics")


def newest_row(folder: Path) -> Row | None:
    """Make the logs in a run's `wandb/` whole, and return the last row that they hold.

    Nobody may write to them: a writer whose parent was killed is waited for, and ended if it stays.
    Idempotent.
    """
    _end_writers(folder)
    logs = []
    for path in folder.glob("*run-*/run-*.wandb"):
        began_at = _began_at(path)
        if began_at is None:
            _log.warning("a log of wandb holds nothing", path=str(path))
            path.unlink()
        else:
            logs.append((began_at, path))
    for _, path in sorted(logs, reverse=True):
        if (row := _made_whole(path)) is not None:
            return row
    return None


def _began_at(path: Path) -> int | None:
    """Return when its run was started, Unix nanoseconds; None where not even that is in a log."""
    with path.open("rb") as file:
        for content, _ in read_records(file):
            record = Record.FromString(content)
            if record.HasField("run"):
                return int(record.run.start_time.ToNanoseconds())
    return None


def _made_whole(path: Path) -> Row | None:
    """Cut off what a kill left half written; return the last row, without wandb's own columns."""
    whole_bytes, newest = HEAD_BYTES, None
    with path.open("rb") as file:
        for content, end in read_records(file):
            whole_bytes = end
            record = Record.FromString(content)
            if record.HasField("history"):
                newest = record.history
    if whole_bytes < path.stat().st_size:
        _log.warning("a log of wandb ended within a record", path=str(path))
        os.truncate(path, whole_bytes)
    return None if newest is None else row_of(newest)


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
