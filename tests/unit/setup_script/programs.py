"""Programs that a test puts where set-up looks for them."""

from __future__ import annotations

from pathlib import Path


def put(folder: Path, name: str, script: str = "") -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
