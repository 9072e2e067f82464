"""What a folder holds, by which a copy of it is known and proved."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Annotated

from pydantic import AfterValidator, Field

from protocol.errors import BundleCorrupt
from protocol.folders import files_in, is_version
from protocol.settings import Closed

_READING: dict[str, Lock] = {}
"""Held while a file is read whole, by its path."""


def check_name(name: str) -> str:
    """Return a file's name; ValueError where it could lead out of the folder it is of."""
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or any(sign in name for sign in "\\\0"):
        raise ValueError(
            f"{name!r} leads out of its folder: want a relative path with no empty part, no . or "
            '.. and no backslash, e.g. "config.json"'
        )
    return name


class StoredFile(Closed):
    """A file of a folder."""

    name: Annotated[str, AfterValidator(check_name)]
    """Its path in the folder, e.g. "config.json"."""
    size: int = Field(ge=0)
    """Bytes."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """In hex."""


def stored_file(folder: Path, name: str) -> StoredFile:
    """Return what a file holds; reads it whole, once a process for as long as it stays."""
    path = folder / name
    state = path.stat()
    # Whoever asks while another thread reads it waits, and finds what that one found.
    with _READING.setdefault(str(path), Lock()):
        digest = _digest(str(path), state.st_size, state.st_mtime_ns)
    return StoredFile(name=name, size=state.st_size, sha256=digest)


def contents(folder: Path, patterns: Collection[str] = ("*",)) -> tuple[StoredFile, ...]:
    """Return what the files hold that match one of the patterns, by name."""
    return tuple(stored_file(folder, name) for name in files_in(folder, patterns))


def key_of(files: Iterable[StoredFile]) -> str:
    """Return what names these files with these contents, and no others, in hex."""
    lines = (f"{each.sha256} {each.size} {each.name}\n" for each in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def use_of(folder: Path, patterns: Collection[str]) -> str:
    """Return what a process has a copy of a folder as: a newer version takes an older one's place.

    "/runs/demo-1/reward/v*: *" of "/runs/demo-1/reward/v000007".
    """
    named = folder.with_name("v*") if is_version(folder) else folder
    return f"{named}: {' '.join(patterns)}"


def prove(path: Path, stored: StoredFile) -> None:
    """Raise BundleCorrupt where a file is not what it should be."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != stored.sha256:
        raise BundleCorrupt(
            f"{path} has sha256 {found}, and {stored.name} had {stored.sha256} when it was written"
        )


@lru_cache(maxsize=4096)
def _digest(path: str, size: int, changed_ns: int) -> str:
    """Return a file's digest; size and time are there so that a change is noticed."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
