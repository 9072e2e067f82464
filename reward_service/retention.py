"""Where versions lie on disk, and how many are kept."""

from __future__ import annotations

from pathlib import Path

from protocol.folders import FoldersHere, versions_in
from protocol.ports import FolderStore


def bundle_path(root: Path, version: int) -> Path:
    """Return the folder of a version, e.g. `root/v000007`."""
    return root / f"v{version:06d}"


def newest_bundle(root: Path) -> Path | None:
    """Return the folder of the newest version, or None where there is none."""
    found = versions_in(root)
    return found[-1] if found else None


def retire_bundles(root: Path, keep: int, store: FolderStore | None = None) -> None:
    """Delete all but the `keep` newest bundles. Calling it again changes nothing."""
    store = FoldersHere() if store is None else store
    for folder in store.versions(root)[:-keep]:
        store.remove(folder)
