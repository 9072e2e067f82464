"""The run's folders on another node where there is a store: the bytes go by its URL."""

from __future__ import annotations

from pathlib import Path

from cluster.stores.at_url import FoldersAtUrl
from cluster.stores.away import FoldersAway
from cluster.stores.cache import FolderCache
from cluster.stores.contents import StoredFile
from cluster.stores.shell import KeeperShell
from protocol.remote import Remote


class FoldersAwayByUrl(FoldersAway):
    """See `protocol.ports.FolderStore`.

    Args:
        keeper: Of the run; it has the store as well.
        cache: This node's.
        url: The store.
    """

    def __init__(self, keeper: Remote[KeeperShell], cache: FolderCache, url: FoldersAtUrl) -> None:
        super().__init__(keeper, cache)
        self._url = url

    def _copy(self, folder: Path, stored: StoredFile, path: Path) -> None:
        """Download a file, which the keeper has seen to."""
        self._url.read(folder, stored, path)

    def _send(self, folder: Path, stored: StoredFile, path: Path) -> None:
        """Upload a file, which the keeper takes from there once its folder is complete."""
        self._url.hand_in(folder, stored, path)
