"""A model's folder as vLLM is given it: with the weights that learners read, and no others.

Official repositories hold some models twice, for other programs too. vLLM reads all safetensors
files that lie in a folder without an index, one over the other.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path

from actors.literal_path import literal_path
from protocol.model_folder import weight_files

_WEIGHTS = ".safetensors"


def served_folder(folder: Path) -> Path:
    """Return a path at which vLLM finds a model as `inspect_model` does, and no other weights.

    That is `literal_path`, or where there are weights besides, a folder of links without these,
    which goes with the process.

    Args:
        folder: One that `inspect_model` accepts.

    Raises:
        InputError: The weights cannot be read.
        ConfigError: As `literal_path`.
    """
    named = {file.name for file in weight_files(folder)}
    wanted = [each for each in folder.iterdir() if each.suffix != _WEIGHTS or each.name in named]
    if len(wanted) == sum(1 for _ in folder.iterdir()):
        return literal_path(folder)
    place = Path(tempfile.mkdtemp(prefix="andon-model-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    for each in wanted:
        (place / each.name).symlink_to(each.resolve(), target_is_directory=each.is_dir())
    return literal_path(place)
