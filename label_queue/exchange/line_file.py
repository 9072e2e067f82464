"""JSON Lines files: written whole or not at all, read with the number of every line."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from protocol.errors import InputError
from protocol.files import writing
from protocol.json_lines import line_of, read_json_lines

MEND = "see that its folder exists and you may write there"
NumberedLine = tuple[int, dict[str, Any]]
"""A line's number, from 1, and its JSON object."""


def write_lines(path: Path, lines: Iterable[bytes], *, force: bool = False) -> int:
    """Write lines one by one and return how many; the file appears only once it is complete.

    Raises:
        InputError: The file is there already and `force` is not given.
        ResourceError: The folder is missing or the disk refuses; then nothing is left behind.
    """
    with writing(path, MEND):
        is_there, is_file = path.exists(), path.is_file()
        target = path.resolve()  # what a link points at is written, and the link stays
    if is_there and not is_file:
        raise InputError(f"{path}: is no file, but a pipe, a device or a folder; name one")
    if is_there and not force:
        raise InputError(f"{path}: is there already; name another file, or give --force")
    partial = target.with_name(f".{target.name}.partial")
    count = 0
    try:
        with writing(target, MEND), partial.open("wb") as file:
            for line in lines:
                file.write(line + b"\n")
                count += 1
            file.flush()
            os.fsync(file.fileno())
        with writing(target, MEND):
            partial.replace(target)
    finally:
        with suppress(OSError):
            partial.unlink()
    return count


def read_lines(path: Path) -> Iterator[NumberedLine]:
    """Yield every line's number, from 1, and its JSON object. Blank lines are left out.

    The file is opened once: what is a pipe gives its lines to nobody a second time.

    Raises:
        MissingError: There is no such file.
        InputError: A line is no JSON object; it is named.
        ResourceError: The disk refuses.
    """
    for number, value in read_json_lines(path, "the file to import", "name an exported one"):
        if not isinstance(value, dict):
            raise InputError(
                f"{line_of(path, number)}: want one JSON object a line, got {type(value).__name__}"
            )
        yield number, value
