"""`metrics.jsonl`: one row a line, appended; what every other view of the run is made from."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from cluster.json_lines import MEND, parse_line, read_rows
from cluster.metrics.names import Row
from protocol.appending import AppendedFile, cut_torn_line, lines_backwards
from protocol.errors import InputError
from protocol.files import writing

MEND_DISK = "see to the disk under the run's folder"


class JsonlSink:
    """Appends rows to a file and flushes each; while the disk is full they wait (`AppendedFile`).

    A last line that a crash left half written is cut off when the file is opened again.

    Args:
        path: The file; made with its folder if missing.
    """

    def __init__(self, path: Path) -> None:
        with writing(path, MEND_DISK):
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                cut_torn_line(path)
        self._file = AppendedFile(path, MEND_DISK)

    def write(self, row: Row) -> None:
        """Append one row. Raises ResourceError where the disk refuses."""
        line = json.dumps(dict(row), ensure_ascii=False, allow_nan=False)
        self._file.append(line.encode() + b"\n")

    def alert(self, title: str, text: str) -> None:
        """Do nothing: the hub has logged it."""

    def summarize(self, figures: Mapping[str, float | int | str | None]) -> None:
        """Do nothing: the report writes them to `summary.json`."""

    def close(self) -> None:
        """Close the file. Raises DiskFull where rows still wait for room."""
        self._file.close()


def last_rows(path: Path, most: int) -> list[dict[str, Any]]:
    """Return the last whole rows of a metrics file, the newest first; none if there is no file.

    Raises InputError where one of them is no JSON object.
    """
    if not path.exists():
        return []
    whole = (entry for entry in lines_backwards(path) if entry[1].endswith(b"\n"))
    return [parse_line(f"{path}, byte {offset}", line) for offset, line in islice(whole, most)]


def is_finite_number(value: object) -> bool:
    """Tell whether a value read from JSON is one: Python lets NaN, Infinity and 1e999 pass."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max


def read_metrics(path: Path) -> list[dict[str, float]]:
    """Return all whole rows of a metrics file; none if there is no file. Raises as `read_rows`."""
    rows = read_rows(path)
    for number, row in enumerate(rows, start=1):
        for name, value in row.items():
            if not is_finite_number(value):
                raise InputError(
                    f"{path}, line {number}: {name}: want a finite number, got {value!r}; {MEND}"
                )
    return rows
