"""Where versions lie on disk, which of them replicas would not take, and how many are kept."""

from __future__ import annotations

import json
from pathlib import Path

from protocol.errors import MissingError
from protocol.folders import FoldersHere
from protocol.ports import FolderStore

WITHDRAWN_FILE = "withdrawn.json"
"""In a bundle's folder: that the version was withdrawn, and why. Its number is never used again."""


def bundle_path(root: Path, version: int) -> Path:
    """Return the folder of a version, e.g. `root/v000007`."""
    return root / f"v{version:06d}"


def withdraw_bundle(folder: Path, why: Exception, store: FolderStore | None = None) -> None:
    """Note in a bundle that replicas would not take it: nobody is to go on from it any more.

    Calling it again changes nothing but the cause.

    Raises:
        OSError: The disk or the store refuses.
    """
    store = FoldersHere() if store is None else store
    content = json.dumps({"error": type(why).__name__, "why": str(why)}, indent=2)
    store.amend(folder, WITHDRAWN_FILE, f"{content}\n".encode())


def is_withdrawn(folder: Path, store: FolderStore | None = None) -> bool:
    """Whether a bundle was withdrawn; one that is no more was not: it was served and retired."""
    store = FoldersHere() if store is None else store
    try:
        return (store.fetch(folder, [WITHDRAWN_FILE]) / WITHDRAWN_FILE).is_file()
    except MissingError:
        return False


def newest_bundle(
    root: Path, store: FolderStore | None = None, *, up_to: int | None = None
) -> Path | None:
    """Return the folder of the newest version that was not withdrawn, or None: there is none.

    Args:
        root: Where the bundles are.
        store: How this process reaches them; by default they are on this node.
        up_to: The newest version that is looked at; None: all are.
    """
    store = FoldersHere() if store is None else store
    # From the newest on, and no further: older ones may be retired meanwhile.
    newest_first = (
        each for each in reversed(store.versions(root)) if up_to is None or _number(each) <= up_to
    )
    return next((each for each in newest_first if not is_withdrawn(each, store)), None)


def bundles_after(root: Path, version: int) -> tuple[Path, ...]:
    """Return the folders of newer versions that were not withdrawn, oldest first; on this node."""
    newer = (each for each in FoldersHere().versions(root) if _number(each) > version)
    return tuple(each for each in newer if not is_withdrawn(each))


def retire_bundles(root: Path, keep: int, store: FolderStore | None = None) -> None:
    """Delete what is older than the `keep` newest bundles. Calling it again changes nothing.

    Withdrawn ones do not count: nobody can go back to them.
    """
    store = FoldersHere() if store is None else store
    num_kept = 0
    for folder in reversed(store.versions(root)):
        if num_kept >= keep:
            store.remove(folder)
        elif not is_withdrawn(folder, store):
            num_kept += 1


def _number(folder: Path) -> int:
    return int(folder.name[1:])
