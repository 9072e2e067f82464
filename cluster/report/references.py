"""Where the files of a run's folders lie, for those who are told of them and not given them."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from cluster.metrics.lineage_folder import Reference
from cluster.stores.config import OBJECT_STORE, SHARED_DISK
from cluster.stores.contents import StoredFile, stored_file
from protocol.files import reading
from protocol.folders import files_in

MEND = "see to the disk of the run's folder"
Address = Callable[[Path, StoredFile], str]
"""Returns the URL of a file of a folder."""


def address_in(store: str, run: Path) -> Address:
    """Return what says where the files of a run lie: in its store, if that is at a URL, or here.

    Args:
        store: The run's `cluster.store`.
        run: Its folder, absolute.
    """
    if store in (OBJECT_STORE, SHARED_DISK):
        return _here
    from cluster.stores import at_url  # which takes a while to import

    return partial(at_url.address, store, run)


def references(
    folder: Path,
    address: Address,
    *,
    known: Mapping[str, str] | None = None,
    is_proved: bool = False,
) -> tuple[Reference, ...]:
    """Return references to the files of a folder; none where it is not there.

    Args:
        folder: Which, absolute.
        address: Where its files lie.
        known: SHA-256 of those that are large, by name: they are not read then.
        is_proved: Whether all are read for the digest by which wandb proves a download.

    Raises:
        ResourceError: A file may not be read.
    """
    known = known or {}
    found = []
    for name in files_in(folder):
        path = folder / name
        with reading(path, "a model of the run", MEND):
            if name in known:
                stored = StoredFile(name=name, size=path.stat().st_size, sha256=known[name])
            else:
                stored = stored_file(folder, name)
            md5 = _md5(path) if is_proved else None
        url = address(folder, stored)
        found.append(Reference(path=name, url=url, size=stored.size, sha256=stored.sha256, md5=md5))
    return tuple(found)


def _here(folder: Path, stored: StoredFile) -> str:
    return (folder / stored.name).as_uri()


def _md5(path: Path) -> str:
    """Return a file's MD5 in base64, as wandb writes it."""
    with path.open("rb") as file:
        return b64encode(hashlib.file_digest(file, "md5").digest()).decode()
