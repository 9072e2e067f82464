"""Being a user who may not do everything: root is kept out of nothing by a file's mode."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


@contextmanager
def other_user() -> Iterator[None]:
    """Give up root's rights inside; for anybody else nothing changes."""
    if os.geteuid() != 0:
        yield
        return
    group = os.getegid()
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)


@contextmanager
def open_folder() -> Iterator[Path]:
    """Make a folder that every user can reach, as pytest's own cannot be."""
    folder = Path(tempfile.mkdtemp(prefix="andon-"))
    folder.chmod(0o777)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
