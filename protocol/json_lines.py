"""JSON Lines files of a person, read with the number of every line."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

from protocol.errors import InputError
from protocol.files import reading


def read_json_lines(
    path: Path, what: str, mend: str, *, is_lenient: bool = False
) -> Iterator[tuple[int, object]]:
    """Yield the number of every line, from 1, and what it says; blank lines are passed over.

    A byte order mark before a line is none of it.

    Args:
        path: The file.
        what: It is to the reader, e.g. "the file to import".
        mend: What to do where it is missing, e.g. "name an exported one".
        is_lenient: Whether NaN and Infinity, which are no JSON, are numbers, and of a key that an
            object names twice the last counts: so are data sets read that others wrote.

    Raises:
        MissingError: There is no such file.
        InputError: A line is no JSON in UTF-8, or names a key twice; it is named.
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
                yield number, _parsed(line, line_of(path, number), is_lenient)


def line_of(path: Path, number: int) -> str:
    """Return how an error names a line."""
    return f"{path}, line {number}"


def _parsed(line: bytes, where: str, is_lenient: bool) -> object:
    try:
        text = line.decode("utf-8-sig")
        if is_lenient:
            return json.loads(text)
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except _NamedTwice as error:
        [key] = error.args
        raise InputError(f"{where}: {key}: it is there twice: leave one of them out") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: not UTF-8 text: give one JSON object a line") from error
    except (ValueError, RecursionError) as error:
        why = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise InputError(f"{where}: not JSON ({why}): give one JSON object a line") from error


class _NamedTwice(Exception):
    """A key comes twice in one JSON object. Argument: the key."""


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [key for key, _ in pairs]
        raise _NamedTwice(next(key for key in names if names.count(key) > 1))
    return made


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
