"""A folder's path for those who take it for a pattern: vLLM looks for weights by `glob`."""

from __future__ import annotations

import atexit
import glob
import shutil
import tempfile
from pathlib import Path

from protocol.errors import ConfigError


def literal_path(folder: Path) -> Path:
    """Return a path that leads to a folder and means the same as a pattern.

    That is the folder's own, or where it holds one of "*?[", a link that goes with the process.

    Raises:
        ConfigError: The folder for temporary files has such a path itself.
    """
    if _is_literal(folder):
        return folder
    place = Path(tempfile.mkdtemp(prefix="andon-model-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    if not _is_literal(place):
        raise ConfigError(f"{place}: vLLM takes this path for a pattern: set TMPDIR to another")
    link = place / "model"
    link.symlink_to(folder.resolve(), target_is_directory=True)
    return link


def _is_literal(path: Path) -> bool:
    return glob.escape(str(path)) == str(path)
