"""Files of a run that hold one JSON object a line: read back, also while they are written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from protocol.errors import InputError, MissingError
from protocol.files import read_text

MEND = "only the run writes to it: put it back as it was"


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return all whole lines of a metrics file or of a recording; none if there is no file.

    Raises:
        InputError: A line is no JSON object; it is named.
        ResourceError: The file may not be read.
    """
    try:
        text = read_text(path, "the run's file", MEND)
    except MissingError:
        return []
    # Not by splitlines: what people and models wrote may hold other line ends.
    lines = text.split("\n")[:-1]  # the last one may be half written
    return [
        parse_line(f"{path}, line {number}", line) for number, line in enumerate(lines, start=1)
    ]


def parse_line(where: str, line: str | bytes) -> dict[str, Any]:
    """Return what a line holds; raises InputError, which names `where`, if that is no object."""
    try:
        row = json.loads(line if isinstance(line, str) else line.decode())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not JSON ({error}); {MEND}") from error
    if not isinstance(row, dict):
        raise InputError(f"{where}: want a JSON object, got {type(row).__name__}; {MEND}")
    return row
