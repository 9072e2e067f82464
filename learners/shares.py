"""One rank's part of what a learner keeps: a file of tensors, known by its digest."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

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
