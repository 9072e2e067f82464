"""One rank's part of what a learner keeps: a file of tensors, known by its digest.

It is written one tensor after the other, and read as a mapped file: neither takes its size of the
host's memory.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from protocol.errors import BundleCorrupt
from protocol.files import naming
from reward_service.tensor_files import write_tensors


def share_name(rank: int) -> str:
    """Return the name of a rank's file, e.g. "rank-0000.safetensors"."""
    return f"rank-{rank:04d}.safetensors"


def write_share(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Write a rank's file, with its folder, flushed to disk; return its SHA-256, in hex.

    Raises OSError, which names the file, where the disk refuses.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with naming(path), path.open("wb") as file:
        written = write_tensors(file, tensors)
        file.flush()
        os.fsync(file.fileno())
    return written.sha256


def read_share(path: Path, sha256: str) -> dict[str, Tensor]:
    """Return the tensors of a rank's file, which the file itself holds.

    Raises BundleCorrupt where it is missing, or is not the one of that digest.
    """
    prove_share(path, sha256)
    tensors: dict[str, Tensor] = load_file(path)
    return tensors


def prove_share(path: Path, sha256: str | None) -> None:
    """Check that a rank's file is there and, unless it is None, that it is the one of a digest.

    Raises BundleCorrupt where it is not.
    """
    if not path.is_file():
        raise BundleCorrupt(f"{path.parent} has no {path.name}")
    if sha256 is None:
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise BundleCorrupt(f"{path} has sha256 {found}, written was {sha256}")
