"""Rows of `metrics.jsonl` that another sink has not taken.

When a run goes on from a checkpoint, the rows of steps after it are moved to a file of lost ones;
the other sink may have taken those.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cluster.json_lines import parse_line
from cluster.metrics.names import WALL_S, Row
from protocol.appending import lines_backwards


def rows_after(path: Path, known: Iterable[Row]) -> Iterator[Row]:
    """Yield the rows of a metrics file after the last that is known; all, where none is.

    Args:
        path: The file; none yet is one without rows.
        known: The rows that the sink took last. Each row carries its time, so no two are alike.

    Raises:
        InputError: A line is no JSON object.
    """
    taken = {frozenset(row.items()) for row in known}
    start = 0
    if taken and path.exists():
        for offset, line in lines_backwards(path):
            if line.endswith(b"\n") and frozenset(_row(path, offset, line).items()) in taken:
                start = offset + len(line)
                break
    return all_rows(path, start)


@dataclass(frozen=True, slots=True)
class Confirmed:
    """How far a sink that counts rows had come when it was opened."""

    count: int = 0
    """Rows that it had."""
    wall_s: float = -1.0
    """Time of the last of them."""
    num_lost: int = 0
    """Lost rows by then: those of them that came later, it never got."""


def rows_beyond(
    path: Path, lost_path: Path, before: Confirmed, count: int
) -> tuple[Confirmed, list[Row]]:
    """Return how far a sink has come that has taken `count` rows, and those it has not.

    Args:
        path: The metrics file.
        lost_path: The file of lost rows.
        before: How far it had come when it was opened the last time.
        count: Rows that it has, some of which may be lost by now.

    Raises:
        InputError: A line is no JSON object.
    """
    lost = list(all_rows(lost_path))
    written = heapq.merge(
        ((row[WALL_S], False, row) for row in all_rows(path)),
        ((row[WALL_S], True, row) for row in lost[before.num_lost :]),
        key=lambda each: each[0],
    )
    since = (each for each in written if float(each[0]) > before.wall_s)
    wall_s, missing = before.wall_s, []
    for place, (at_s, is_lost, row) in enumerate(since, start=before.count):
        if place < count:
            wall_s = float(at_s)
        elif not is_lost:
            missing.append(row)
    return Confirmed(count, wall_s, len(lost)), missing


def all_rows(path: Path, start: int = 0) -> Iterator[Row]:
    """Yield the whole rows of a file from an offset on; none if there is no file."""
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(start)
        for line in file:
            if line.endswith(b"\n"):
                yield _row(path, start, line)
            start += len(line)


def _row(path: Path, offset: int, line: bytes) -> Row:
    return parse_line(f"{path}, byte {offset}", line)
