"""Where versions lie on disk, and how many are kept."""

from __future__ import annotations

import shutil
from pathlib import Path


def bundle_path(root: Path, version: int) -> Path:
    """Return the folder of a version, e.g. `root/v000007`."""
    return root / f"v{version:06d}"


def newest_bundle(root: Path) -> Path | None:
    """Return the folder of the newest version, or None where there is none."""
    return max(root.glob("v[0-9]*"), default=None)


def retire_bundles(root: Path, keep: int) -> None:
    """Delete all but the `keep` newest bundles. Calling it again changes nothing."""
    for folder in sorted(root.glob("v[0-9]*"))[:-keep]:
        shutil.rmtree(folder)
