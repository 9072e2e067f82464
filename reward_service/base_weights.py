"""The model whose weights a reward version leaves out: where it is, and proof that it is it."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from pydantic import Field

from protocol.errors import BundleCorrupt, MissingError
from protocol.files import is_folder
from protocol.model_folder import inspect_model, weight_files
from protocol.ports import FolderStore
from protocol.settings import Closed

MEND = "put it back, or set base.path in the bundle's manifest.json to where it lies"


class BaseWeights(Closed):
    """A model folder whose weights a bundle does not hold itself."""

    path: str = Field(min_length=1)
    """The folder, absolute, as the run's own node names it."""
    sha256: str
    """Digest of its weights files, in order, in hex."""


def base_weights(folder: Path, named: Path | None = None) -> BaseWeights:
    """Return what a bundle says of the model it is based on. Reads all its weights, once a process.

    Args:
        folder: Where they lie on this node.
        named: How the run's own node names that folder, where it is another.

    Raises:
        MissingError: There is no such folder.
        InputError: It holds no whole model.
    """
    inspect_model(folder)
    files = weight_files(folder)
    state = tuple((str(f), s.st_size, s.st_mtime_ns) for f in files for s in (f.stat(),))
    return BaseWeights(path=str((named or folder).absolute()), sha256=_digest(state))


def base_folder(base: BaseWeights, bundle: Path) -> Path:
    """Return the folder of the model that a bundle is based on, as it names it.

    Raises MissingError where it is not there, ResourceError where it may not be looked into.
    """
    folder = Path(base.path)
    if not is_folder(folder, str(bundle), MEND):
        raise MissingError(
            f"{bundle} is based on the model in {folder}, which is not there: {MEND}"
        )
    return folder


def proved_base(base: BaseWeights, bundle: Path, store: FolderStore) -> Path:
    """Return the folder of the model that a bundle is based on, once it is known to be the one.

    Args:
        base: As the bundle names it.
        bundle: For the error.
        store: How this process reaches the folder.

    Raises:
        MissingError: It is not there.
        BundleCorrupt: Other weights lie there.
        InputError: What lies there is no whole model.
    """
    try:
        folder = store.fetch(Path(base.path))
    except MissingError:
        folder = base_folder(base, bundle)
    found = base_weights(folder).sha256
    if found != base.sha256:
        raise BundleCorrupt(
            f"{bundle} is based on a model with sha256 {base.sha256}, {folder} has {found}"
        )
    return folder


@lru_cache(maxsize=8)
def _digest(state: tuple[tuple[str, int, int], ...]) -> str:
    """Return the digest of files, each given with size and time, by which changes are noticed."""
    digest = hashlib.sha256()
    for path, _, _ in state:
        with Path(path).open("rb") as file:
            while chunk := file.read(2**22):
                digest.update(chunk)
    return digest.hexdigest()
