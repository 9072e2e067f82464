"""What labelers are told to look for: a Markdown file of the owner's."""

from __future__ import annotations

from pathlib import Path

from protocol.errors import InputError, MissingError


def read_guidelines(path: Path | None) -> str:
    """Return the text of the file that `labels.guidelines` names; empty where it names none.

    Raises MissingError where there is no such file, InputError where it is not UTF-8 text.
    """
    if path is None:
        return ""
    if not path.is_file():
        raise MissingError(f"labels.guidelines: {path} is not a file; name a Markdown file or none")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"labels.guidelines: {path} is not UTF-8 text ({error})") from error
