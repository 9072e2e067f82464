"""Nodes that see none of each other's files, in one process: each with a store and a cache."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from cluster.stores.at_url import FoldersAtUrl
from cluster.stores.cache import FolderCache
from cluster.stores.contents import contents

_NUMBERS = count()


class Elsewhere:
    """Makes the folders of one run as processes of many nodes have them.

    Args:
        folder: For the nodes' caches.
        run: The run's folder, on a node that is none of these.
    """

    def __init__(self, folder: Path, run: Path) -> None:
        self._folder = folder
        self._run = run
        self._url = f"memory://elsewhere-{next(_NUMBERS)}"

    def node(self, name: str) -> FoldersAtUrl:
        """Return the folders as a process of a node has them."""
        return FoldersAtUrl(self._url, self._run, FolderCache(self._folder / name, 2**30))

    def give(self, folder: Path) -> None:
        """Have the store hold a folder that is nobody's to write."""
        self.node("giver").offer(folder, contents(folder))
