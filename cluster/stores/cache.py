"""Folders that a node has copied, kept by content: `KEY/` with KEY the digest of all it holds.

Several processes of the node share them. A copy appears whole or not at all, is made once where
several ask at the same time, and stays while a process uses it; beyond the limit those go that have
been used by nobody for longest. Who uses or makes what is said by locks on files, which end with
their process. All of it lies in a folder of our own, and nothing else in it is touched.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from cluster.stores.contents import StoredFile, key_of, prove
from protocol.errors import DiskFull, ResourceError
from protocol.files import is_full, writing

MEND = "set cluster.cache to a folder that every node can write, with room for the models"

_KEY = "[0-9a-f]{64}"
_COPY = re.compile(_KEY)
_DRAFT = re.compile(rf"\.draft-{_KEY}")
_GONE = re.compile(rf"\.gone-{_KEY}-[0-9a-f]{{32}}")
_SCRATCH = re.compile(r"\.scratch-[0-9a-f]{32}")
_SHRINKING = ".shrinking"

Copy = Callable[[StoredFile, Path], None]
"""Writes one file to a path."""


class FolderCache:
    """What this node has copied, as one process sees it.

    Args:
        root: Where a folder for this user alone is made, `own_folder(root)`.
        limit_bytes: How much may stay that nobody uses.

    Raises:
        ResourceError: Nothing can be written there, or that folder is somebody else's.
    """

    def __init__(self, root: Path, limit_bytes: int) -> None:
        self._root = own_folder(root)
        self._limit_bytes = limit_bytes
        self._in_use: dict[str, int] = {}
        """File descriptors that hold the locks of what this process uses, by what it uses it as."""
        with writing(self._root, MEND):
            root.mkdir(parents=True, exist_ok=True)
            self._root.mkdir(mode=0o700, exist_ok=True)
            # As it lies there: what a link leads to may be ours, and the link another's.
            found = self._root.lstat()
            if found.st_uid != os.geteuid() or not stat.S_ISDIR(found.st_mode):
                raise ResourceError(f"{self._root} belongs to another user or is a link: {MEND}")

    def take(self, files: Sequence[StoredFile], copy: Copy, used_as: str) -> Path:
        """Return a folder with these files, copying what this node has not yet.

        It stays until this process ends, or takes other files as the same.

        Args:
            files: All it shall hold.
            copy: Asked for each file that is not there.
            used_as: E.g. "/runs/demo-1/reward": of that, one folder at a time is used.

        Raises:
            BundleCorrupt: What was copied is not what was written.
            DiskFull: There is no room for it, even without all copies that nobody uses.
            ResourceError: The disk refuses otherwise, or whoever is asked for the files does.
        """
        key = key_of(files)
        place = self._root / key
        with writing(place, MEND):
            self._use(key, used_as)
            if not _is_whole(place, files) and self._made(place, files, copy):
                with self._alone(_SHRINKING, wait=False) as is_alone:
                    if is_alone:  # or else somebody is at it
                        self._shrink(self._limit_bytes)
        return place

    def scratch(self) -> Path:
        """Make an empty folder for this process, which goes when the process has ended."""
        name = f".scratch-{uuid4().hex}"
        with writing(self._root / name, MEND):
            self._in_use[name] = self._lock(_use_of(name), fcntl.LOCK_SH)
            (self._root / name).mkdir()
        return self._root / name

    def _made(self, place: Path, files: Sequence[StoredFile], copy: Copy) -> bool:
        """Make a copy, in the place of a torn one; False where another process has just done so."""
        with self._alone(f".making-{place.name}", wait=True):
            if _is_whole(place, files):
                return False
            self._remove_aside(place)
            try:
                self._make(place, files, copy)
            except OSError as error:
                if not is_full(error):
                    raise
                self._make_with_room(place, files, copy)
        return True

    def _make_with_room(self, place: Path, files: Sequence[StoredFile], copy: Copy) -> None:
        """Make a copy in the room of all that nobody uses."""
        with self._alone(_SHRINKING, wait=True):
            self._shrink(0)
        try:
            self._make(place, files, copy)
        except OSError as error:
            if not is_full(error):
                raise
            size = sum(each.size for each in files)
            raise DiskFull(
                f"{self._root} has no room for {size / 2**30:.2f} GiB more ({error.strerror}), "
                f"and what else it holds is in use: free space there, or {MEND}"
            ) from error

    def _make(self, place: Path, files: Sequence[StoredFile], copy: Copy) -> None:
        draft = self._root / f".draft-{place.name}"
        shutil.rmtree(draft, ignore_errors=True)  # of a process that was killed at it
        draft.mkdir()
        try:
            for stored in files:
                path = draft / stored.name
                path.parent.mkdir(parents=True, exist_ok=True)
                copy(stored, path)
                prove(path, stored)
            draft.rename(place)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise

    def _use(self, key: str, used_as: str) -> None:
        """Hold the lock of a copy, in the place of the one that was used as the same before."""
        descriptor = self._lock(_use_of(key), fcntl.LOCK_SH)
        os.utime(descriptor)  # by which the least recently used is known
        before = self._in_use.pop(used_as, None)
        self._in_use[used_as] = descriptor
        if before is not None:
            os.close(before)

    def _shrink(self, limit_bytes: int) -> None:
        """Remove what dead processes left, then the oldest copies until the rest is in bounds."""
        for gone in self._called(_GONE):
            shutil.rmtree(gone, ignore_errors=True)
        for draft in self._called(_DRAFT):
            self._remove(draft, f".making-{draft.name.removeprefix('.draft-')}")
        for scratch in self._called(_SCRATCH):
            self._remove(scratch, _use_of(scratch.name))
        copies = self._called(_COPY)
        sizes = {each: _size(each) for each in copies}
        excess = sum(sizes.values()) - limit_bytes
        for oldest in sorted(copies, key=self._last_used):
            if excess <= 0:
                return
            if self._remove(oldest, _use_of(oldest.name)):
                excess -= sizes[oldest]

    def _called(self, names: re.Pattern[str]) -> list[Path]:
        """Return what is ours of one kind, and nothing that others may have put beside it."""
        return [each for each in self._root.iterdir() if names.fullmatch(each.name)]

    def _remove(self, folder: Path, lock: str) -> bool:
        """Remove a folder unless somebody holds its lock; return whether it was."""
        try:
            descriptor = self._lock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        try:
            if _COPY.fullmatch(folder.name):
                self._remove_aside(folder)
            else:
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(descriptor)
        return True

    def _remove_aside(self, copy: Path) -> None:
        """Take a copy from its place before its files go: half of one is none."""
        aside = copy.with_name(f".gone-{copy.name}-{uuid4().hex}")
        with suppress(FileNotFoundError):
            copy.rename(aside)
            shutil.rmtree(aside, ignore_errors=True)

    def _last_used(self, copy: Path) -> float:
        try:
            return (self._root / _use_of(copy.name)).stat().st_mtime
        except FileNotFoundError:
            return 0.0

    @contextmanager
    def _alone(self, name: str, *, wait: bool) -> Iterator[bool]:
        """Hold a lock; without waiting, say whether it is held."""
        try:
            descriptor = self._lock(name, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            if wait:
                raise
            yield False
            return
        try:
            yield True
        finally:
            os.close(descriptor)

    def _lock(self, name: str, how: int) -> int:
        """Return a descriptor that holds a lock until it is closed, at the latest at the end."""
        descriptor = os.open(self._root / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, how)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor


def default_root() -> Path:
    """Return where a node's folder of copies is made unless the config names a place."""
    return Path(tempfile.gettempdir())


def own_folder(root: Path) -> Path:
    """Return where in a place this user's copies are, e.g. `/tmp/andon-folders-1000`."""
    return root / f"andon-folders-{os.geteuid()}"


def _use_of(key: str) -> str:
    """Return the name of the lock that users of a copy share."""
    return f".use-{key}"


def _is_whole(copy: Path, files: Sequence[StoredFile]) -> bool:
    """Whether every file is there with its size: a cleaner of old files may have been."""
    return copy.is_dir() and all(_size_of(copy / each.name) == each.size for each in files)


def _size(folder: Path) -> int:
    return sum(_size_of(each) or 0 for each in folder.rglob("*"))


def _size_of(path: Path) -> int | None:
    """Return a file's size; None where there is no such file, or no more."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None
