"""Rows of `metrics.jsonl` that another sink has not taken."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from cluster.json_lines import parse_line
from cluster.metrics.names import Row
from protocol.appending import lines_backwards


def rows_after(path: Path, newest: Row | None) -> Iterator[Row]:
    """Yield the rows of a metrics file after the one that the sink took last.

    Args:
        path: The file; none yet is one without rows.
        newest: That row; None where the sink has none. Each row carries its time, so no two are
            alike. All rows are yielded where it is not in the file.

    Raises:
        InputError: A line is no JSON object.
    """
    start = 0
    if newest is not None and path.exists():
        for offset, line in lines_backwards(path):
            if line.endswith(b"\n") and _row(path, offset, line) == newest:
                start = offset + len(line)
                break
    return _rows(path, start)


def rows_beyond(path: Path, number: int) -> Iterator[Row]:
    """Yield the rows of a metrics file but the first `number`; otherwise as `rows_after`."""
    return islice(_rows(path, 0), number, None)


def _rows(path: Path, start: int) -> Iterator[Row]:
    """Yield the whole rows from an offset on."""
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(start)
        for line in file:
            if line.endswith(b"\n"):
                yield _row(path, start, line)
            start += len(line)


def _row(path: Path, offset: int, line: bytes) -> Row:
    return parse_line(f"{path}, byte {offset}", line.decode())
