"""What labelers are told to look for: a Markdown file of the owner's."""

from __future__ import annotations

from pathlib import Path

from protocol.files import read_text, refuse_stream


def read_guidelines(path: Path | None) -> str:
    """Return the text of the file that `labels.guidelines` names; empty where it names none.

    Raises MissingError where there is no such file, InputError where it is not UTF-8 text, or no
    file or a pipe, ResourceError where it may not be read.
    """
    if path is None:
        return ""
    mend = "name a Markdown file or none"
    refuse_stream(path, "labels.guidelines", mend)
    return read_text(path, "labels.guidelines", mend)
