"""`metrics.jsonl`: one row a line, appended; what every other view of the run is made from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from cluster.metrics.names import Row


class JsonlSink:
    """Appends rows to a file and flushes each.

    A last line that a crash left half written is cut off when the file is opened again.

    Args:
        path: The file; made with its folder if missing.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab")
        content = path.read_bytes()
        self._file.truncate(content.rfind(b"\n") + 1)

    def write(self, row: Row) -> None:
        """Append one row."""
        line = json.dumps(dict(row), ensure_ascii=False, allow_nan=False)
        self._file.write(line.encode() + b"\n")
        self._file.flush()

    def alert(self, title: str, text: str) -> None:
        """Do nothing: the hub has logged it."""

    def summarize(self, figures: Mapping[str, float | int | str | None]) -> None:
        """Do nothing: the report writes them to `summary.json`."""

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_rows(path: Path) -> list[dict[str, float]]:
    """Return all whole rows of a metrics file, in order; none if there is no file."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]
