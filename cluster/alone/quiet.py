"""Libraries that talk to the terminal, kept from it: what they say goes into a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def told_to(log: Path) -> Iterator[None]:
    """Send all that this process and those it starts print into a file, until the end of the block.

    By file descriptor: compilers and libraries in C know of no `sys.stdout`.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [(number, os.dup(number)) for number in (1, 2)]
    try:
        with log.open("ab") as file:
            for number, _ in kept:
                os.dup2(file.fileno(), number)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, copy in kept:
            os.dup2(copy, number)
            os.close(copy)
