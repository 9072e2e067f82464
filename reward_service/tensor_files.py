"""Writing tensors: what can go wrong with the disk meanwhile becomes an error of ours."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from protocol.files import writing

_SYSTEM_CODE = re.compile(r"\((?:os error|.*\bcode:) (\d+)")
"""Finds the number of a system error in the words of the library: "(os error 28)"."""


@contextmanager
def writing_tensors(path: Path, mend: str) -> Iterator[None]:
    """Write files of tensors and others beside them.

    Args:
        path: The folder that is made whole.
        mend: What to do where it cannot be written.

    Raises:
        DiskFull: The disk is full, or a quota or limit reached.
        ResourceError: The disk is read-only, or this user may not write there.
    """
    with writing(path, mend):
        try:
            yield
        except SafetensorError as error:
            code = _SYSTEM_CODE.search(str(error))
            if code is None:
                raise
            number = int(code[1])
            raise OSError(number, os.strerror(number), str(path)) from error
