"""What one process drafts on a node that is not the run's own, until it is handed in."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from cluster.stores.cache import MEND, FolderCache
from protocol.files import writing


class ScratchDrafts:
    """Drafts of folders, in a place that goes with this process.

    Args:
        cache: Makes that place, with the first draft.
    """

    def __init__(self, cache: FolderCache) -> None:
        self._cache = cache
        self._scratch: Path | None = None

    def of(self, folder: Path) -> Path:
        """Return where a folder is drafted. Raises ResourceError where the disk refuses."""
        if self._scratch is None:
            self._scratch = self._cache.scratch()
        named = f"{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}-{folder.name}"
        draft = self._scratch / named
        with writing(draft, MEND):
            draft.mkdir(exist_ok=True)
        return draft

    def discard(self, folder: Path) -> None:
        """Remove what was drafted of a folder."""
        if self._scratch is not None:
            shutil.rmtree(self.of(folder))
