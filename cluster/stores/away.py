"""The run's folders on another node: all of it by the keeper, copies in this node's cache."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import ray

from cluster.stores.cache import FolderCache
from cluster.stores.contents import StoredFile, stored_file, use_of
from cluster.stores.drafts import ScratchDrafts
from cluster.stores.shell import PIECE_BYTES, KeeperShell
from protocol.remote import Remote, raised_as_itself

P = ParamSpec("P")
R = TypeVar("R")

PIECES_AT_ONCE = 2
"""Pieces of a file that are on their way at a time: so much is taken of Ray's object store."""


class FoldersAway:
    """See `protocol.ports.FolderStore`.

    Args:
        keeper: Of the run.
        cache: This node's.
    """

    def __init__(self, keeper: Remote[KeeperShell], cache: FolderCache) -> None:
        self._keeper = keeper
        self._cache = cache
        self._drafts = ScratchDrafts(cache)

    def versions(self, root: Path) -> tuple[Path, ...]:
        """See the port."""
        return self._ask(KeeperShell.versions, root)

    def fetch(self, folder: Path, files: Collection[str] = ("*",)) -> Path:
        """Return this node's copy, made now or before."""
        stored = self._ask(KeeperShell.contents, folder, tuple(files))
        return self._cache.take(stored, partial(self._copy, folder), use_of(folder, files))

    def draft(self, folder: Path) -> Path:
        """Return a folder of this process alone."""
        return self._drafts.of(folder)

    def put(self, folder: Path, file: str) -> None:
        """Send the file to the run's node; here it is gone then."""
        draft = self.draft(folder)
        self._send(folder, stored_file(draft, file), draft / file)
        (draft / file).unlink()

    def complete(self, folder: Path, files: Collection[str]) -> None:
        """See the port."""
        self._ask(KeeperShell.complete, folder, tuple(files))
        self._drafts.discard(folder)

    def discard(self, folder: Path) -> None:
        """Remove what was drafted, here and on the run's own node."""
        self._drafts.discard(folder)
        self._ask(KeeperShell.discard, folder)

    def amend(self, folder: Path, file: str, content: bytes) -> None:
        """See the port."""
        self._ask(KeeperShell.amend, folder, file, content)

    def remove(self, folder: Path) -> None:
        """See the port."""
        self._ask(KeeperShell.remove, folder)

    def _copy(self, folder: Path, stored: StoredFile, path: Path) -> None:
        """Fetch a file, two pieces at a time."""
        ahead: deque[Any] = deque()
        offsets = iter(range(0, stored.size, PIECE_BYTES))
        with path.open("wb") as target:
            while True:
                while len(ahead) < PIECES_AT_ONCE and (offset := next(offsets, None)) is not None:
                    ahead.append(self._keeper.send(KeeperShell.piece, folder, stored.name, offset))
                if not ahead:
                    return
                target.write(self._got(ahead.popleft()))

    def _send(self, folder: Path, stored: StoredFile, path: Path) -> None:
        """Send a file, two pieces at a time; the keeper proves that it has come whole."""
        part = f"{stored.sha256[:16]}-{hashlib.sha256(str(path).encode()).hexdigest()[:16]}"
        ahead: deque[Any] = deque()
        with path.open("rb") as source:
            for offset in range(0, stored.size, PIECE_BYTES) or (0,):
                if len(ahead) == PIECES_AT_ONCE:
                    self._got(ahead.popleft())
                piece = source.read(PIECE_BYTES)
                ahead.append(self._keeper.send(KeeperShell.write, folder, part, offset, piece))
        while ahead:
            self._got(ahead.popleft())
        self._ask(KeeperShell.seal, folder, part, stored)

    def _ask(
        self, method: Callable[Concatenate[KeeperShell, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        answer: R = self._got(self._keeper.send(method, *args, **kwargs))
        return answer

    def _got(self, reference: Any) -> Any:
        with raised_as_itself(self._keeper.who):
            return ray.get(reference)
