"""Where the run's folders are for a process: decided here, for all of them, and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import ray

from cluster.stores.at_url import FoldersAtUrl
from cluster.stores.away import FoldersAway
from cluster.stores.away_by_url import FoldersAwayByUrl
from cluster.stores.cache import FolderCache, default_root
from cluster.stores.config import OBJECT_STORE, SHARED_DISK
from cluster.stores.here_and_at_url import FoldersHereAndAtUrl
from cluster.stores.shell import KEEPER_NAME
from protocol.folders import FoldersHere
from protocol.ports import FolderStore
from protocol.remote import named


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """Opens the folders in whatever process it is called: a `protocol.ports.OpenStore`."""

    run: Path
    """The run's folder on the run's own node, absolute."""
    store: str = OBJECT_STORE
    """As `cluster.store`."""
    cache: str | None = None
    """As `cluster.cache`."""
    cache_gib: float = 64.0
    """As `cluster.cache_gib`."""
    node: str | None = None
    """Ray's id of the run's own node; None: there is no other."""
    namespace: str | None = None
    """Ray's, in which the keeper is found."""

    def __call__(self) -> FolderStore:
        """Return the folders as this process has them. Blocks for a look-up.

        Raises:
            ConfigError: The store is at a URL that fsspec does not know on this node.
            ResourceError: This node cannot keep copies.
            ActorDied: The keeper is gone.
        """
        if self.store == SHARED_DISK:
            return FoldersHere()
        if self.node is None or ray.get_runtime_context().get_node_id() == self.node:
            return self.at_home()
        keeper = named(KEEPER_NAME, "the folder keeper", self.namespace)
        if self.store == OBJECT_STORE:
            return FoldersAway(keeper, self._opened_cache())
        return FoldersAwayByUrl(keeper, self._opened_cache(), self._at_url())

    def at_home(self) -> FoldersHere | FoldersHereAndAtUrl:
        """Return the folders as a process of the run's own node has them."""
        if self.store in (OBJECT_STORE, SHARED_DISK):
            return FoldersHere()
        return FoldersHereAndAtUrl(self._at_url())

    def check(self, *, is_new: bool) -> None:
        """Try the store, where it is at a URL.

        Args:
            is_new: Whether the run begins.

        Raises:
            ConfigError: fsspec knows no such place, or another run of this name uses it.
            ResourceError: It cannot be written or read, or this node cannot keep copies.
        """
        if self.store not in (OBJECT_STORE, SHARED_DISK):
            self._at_url().check(is_new=is_new)

    def _at_url(self) -> FoldersAtUrl:
        return FoldersAtUrl(self.store, self.run, self._opened_cache())

    def _opened_cache(self) -> FolderCache:
        root = default_root() if self.cache is None else Path(self.cache)
        return FolderCache(root, int(self.cache_gib * 2**30))
