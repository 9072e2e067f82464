"""The run's folders on the run's own node, each of which is at a URL, too."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from cluster.stores.at_url import FoldersAtUrl
from cluster.stores.contents import StoredFile, prove, stored_file
from protocol.errors import MissingError
from protocol.folders import FoldersHere


class FoldersHereAndAtUrl:
    """See `protocol.ports.FolderStore`: a folder is at the URL before it appears here.

    Writers elsewhere hand in at the URL, and it is taken from there.

    Args:
        url: The other place.
    """

    def __init__(self, url: FoldersAtUrl) -> None:
        self._here = FoldersHere()
        self._url = url

    def versions(self, root: Path) -> tuple[Path, ...]:
        """See the port."""
        return self._here.versions(root)

    def fetch(self, folder: Path, files: Collection[str] = ("*",)) -> Path:
        """Return the folder itself; nothing is copied."""
        return self._here.fetch(folder, files)

    def draft(self, folder: Path) -> Path:
        """See `FoldersHere`."""
        return self._here.draft(folder)

    def put(self, folder: Path, file: str) -> None:
        """Flush the file to disk, and upload it."""
        self._here.put(folder, file)
        draft = self._here.draft(folder)
        self._url.hand_in(folder, stored_file(draft, file), draft / file)

    def complete(self, folder: Path, files: Collection[str]) -> None:
        """Have the folder appear at the URL; take what others handed in there; appear here."""
        self._url.complete(folder, files)
        draft = self._here.draft(folder)
        for stored in self._url.index(folder) or ():
            if stored.name not in files:
                continue
            path = draft / stored.name
            if not path.is_file() or stored_file(draft, stored.name) != stored:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._url.read(folder, stored, path)
                prove(path, stored)
                self._here.put(folder, stored.name)
        self._here.complete(folder, files)

    def discard(self, folder: Path) -> None:
        """See `FoldersHere`."""
        self._here.discard(folder)

    def amend(self, folder: Path, file: str, content: bytes) -> None:
        """See the port."""
        try:
            self._url.amend(folder, file, content)
        except MissingError:  # a folder that was given, which the store has if somebody asked
            self._here.amend(folder, file, content)
            return
        self._here.amend(folder, file, content)

    def remove(self, folder: Path) -> None:
        """Delete it at the URL first: asked again, what is still here says what is to go there."""
        self._url.remove(folder)
        self._here.remove(folder)

    def offer(self, folder: Path, found: Collection[StoredFile]) -> None:
        """See `FoldersAtUrl.offer`."""
        self._url.offer(folder, found)
