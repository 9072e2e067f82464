"""The keeper: on the run's own node, it reads and writes the run's folders for other nodes.

Bytes cross in pieces, each of which is an object in Ray's object store for as long as it is on its
way. The keeper holds nothing in memory: a file on its way to it is a hidden one in the draft, and a
piece that comes twice is written twice to the same place. So Ray may start it again at any moment.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from cluster.stores.contents import StoredFile, contents, prove
from cluster.stores.here_and_at_url import FoldersHereAndAtUrl
from protocol.files import writing
from protocol.folders import FoldersHere, not_there
from protocol.remote import StartedAgain

PIECE_BYTES = 2**23
KEEPER_NAME = "folder-keeper"
"""Name of the keeper's actor in the run's namespace."""
KEEPER_OPTIONS = {
    "num_cpus": 0,
    "name": KEEPER_NAME,
    "max_concurrency": 16,
    # Every method may be called twice.
    "max_restarts": -1,
    "max_task_retries": -1,
}
"""What `spawn` starts the keeper with, on the run's own node."""
MEND_DISK = "see to the disk of the run's folder"

Home = FoldersHere | FoldersHereAndAtUrl


class KeeperShell(StartedAgain):
    """See the module. Every method blocks its caller alone, and may be called twice.

    Args:
        open_home: Opens the folders as a process of this node has them.
    """

    def __init__(self, open_home: Callable[[], Home]) -> None:
        self._home = open_home()

    def versions(self, root: Path) -> tuple[Path, ...]:
        """Return the whole versions below a folder."""
        return self._home.versions(root)

    def contents(self, folder: Path, patterns: Collection[str]) -> tuple[StoredFile, ...]:
        """Return what the files of a folder hold; reads them whole the first time.

        Where there is a store at a URL, it has them when this returns.

        Raises:
            MissingError: There is no such folder.
        """
        if not folder.is_dir():
            raise not_there(folder)
        found = contents(folder, patterns)
        if isinstance(self._home, FoldersHereAndAtUrl):
            self._home.offer(folder, found)
        return found

    def piece(self, folder: Path, file: str, offset: int) -> bytes:
        """Return what a file holds from there on, `PIECE_BYTES` at most."""
        with (folder / file).open("rb") as source:
            source.seek(offset)
            return source.read(PIECE_BYTES)

    def write(self, folder: Path, part: str, offset: int, piece: bytes) -> None:
        """Write a piece of a file that is on its way, under a name that its sender made up."""
        path = self._part(folder, part)
        with writing(path, MEND_DISK):
            path.touch()
            with path.open("r+b") as target:
                target.seek(offset)
                target.write(piece)

    def seal(self, folder: Path, part: str, stored: StoredFile) -> None:
        """Give a file that has come whole its name in the draft.

        Raises:
            BundleCorrupt: It is not what was sent.
        """
        path, place = self._part(folder, part), self._home.draft(folder) / stored.name
        was_asked = not path.exists() and place.exists()
        prove(place if was_asked else path, stored)
        with writing(place, MEND_DISK):
            if not was_asked:
                place.parent.mkdir(parents=True, exist_ok=True)
                path.rename(place)
            self._home.put(folder, stored.name)  # which a killed keeper may not have come to

    def complete(self, folder: Path, files: Collection[str]) -> None:
        """Have a folder appear with these files.

        Raises:
            MissingError: One of them was never handed in.
        """
        with writing(folder, MEND_DISK):
            self._home.complete(folder, files)

    def discard(self, folder: Path) -> None:
        """Forget what was handed in of a folder that is not complete."""
        self._home.discard(folder)

    def amend(self, folder: Path, file: str, content: bytes) -> None:
        """Give a whole folder a file."""
        with writing(folder / file, MEND_DISK):
            self._home.amend(folder, file, content)

    def remove(self, folder: Path) -> None:
        """Delete a folder."""
        self._home.remove(folder)

    def _part(self, folder: Path, part: str) -> Path:
        return self._home.draft(folder) / f".part-{part}"
