"""One rank's part of what a learner keeps: a file of tensors, known by its digest."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from protocol.files import naming


def share_name(rank: int) -> str:
    """Return the name of a rank's file, e.g. "rank-0000.safetensors"."""
    return f"rank-{rank:04d}.safetensors"


def write_share(path: Path, tensors: dict[str, Tensor]) -> str:
    """Write a rank's file, with its folder, flushed to disk; return its SHA-256, in hex.

    Raises OSError, which names the file, where the disk refuses.
    """
    payload: bytes = save(tensors)
    path.parent.mkdir(parents=True, exist_ok=True)
    with naming(path), path.open("wb") as file:
        file.write(payload)
        file.flush()
        os.fsync(file.fileno())
    return hashlib.sha256(payload).hexdigest()
