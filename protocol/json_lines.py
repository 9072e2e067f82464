"""JSON Lines files of a person, read with the number of every line."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

from protocol.errors import InputError
from protocol.files import reading


def read_json_lines(
    path: Path, what: str, mend: str, *, takes_nan: bool = False
) -> Iterator[tuple[int, object]]:
    """Yield the number of every line, from 1, and what it says; blank lines are passed over.

    A byte order mark before a line is none of it.

    Args:
        path: The file.
        what: It is to the reader, e.g. "the file to import".
        mend: What to do where it is missing, e.g. "name an exported one".
        takes_nan: Whether NaN and Infinity, which are no JSON, are numbers.

    Raises:
        MissingError: There is no such file.
        InputError: A line is no JSON in UTF-8; it is named.
        ResourceError: This user may not read the file, or the disk refuses.
    """
    with reading(path, what, mend):
        file = path.open("rb")
    with file:
        for number in itertools.count(1):
            with reading(path, what, mend):
                line = file.readline()
            if not line:
                return
            if line.strip():
                yield number, _parsed(line, line_of(path, number), takes_nan)


def line_of(path: Path, number: int) -> str:
    """Return how an error names a line."""
    return f"{path}, line {number}"


def _parsed(line: bytes, where: str, takes_nan: bool) -> object:
    try:
        text = line.decode("utf-8-sig")
        return json.loads(text, parse_constant=None if takes_nan else _refuse_constant)
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: not UTF-8 text: give one JSON object a line") from error
    except (ValueError, RecursionError) as error:
        why = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise InputError(f"{where}: not JSON ({why}): give one JSON object a line") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
