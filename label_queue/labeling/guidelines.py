"""What labelers are told to look for: a Markdown file of the owner's."""

from __future__ import annotations

from pathlib import Path

from protocol.files import read_text


def read_guidelines(path: Path | None) -> str:
    """Return the text of the file that `labels.guidelines` names; empty where it names none.

    Raises MissingError where there is no such file, InputError where it is not UTF-8 text or no
    file, ResourceError where it may not be read.
    """
    if path is None:
        return ""
    return read_text(path, "labels.guidelines", "name a Markdown file or none")
