"""The folders of a run on the run's own node: what is written lies where it will be read.

Another process of this node reads a folder at the very path by which it is named. What other nodes
have in the place of this is in `cluster/stores/`.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path

from protocol.errors import MissingError
from protocol.files import LOOK_INTO, flush, is_folder, listed
from protocol.ports import FolderStore

TOKENIZER_FILES = ("*.json", "*.txt", "*.model", "*.tiktoken", "*.jinja")
"""Patterns of what a model folder holds beside weights, for those who only read and write text."""
_DRAFT = ".draft-"
_GONE = ".gone-"


class FoldersHere:
    """See `protocol.ports.FolderStore`. What the disk refuses is raised in its own words."""

    def versions(self, root: Path) -> tuple[Path, ...]:
        """See the port."""
        return versions_in(root)

    def fetch(self, folder: Path, files: Collection[str] = ("*",)) -> Path:
        """Return the folder itself; nothing is copied."""
        if not folder.is_dir():
            raise not_there(folder)
        return folder

    def draft(self, folder: Path) -> Path:
        """Return a hidden folder beside its place; what lies there already stays."""
        draft = draft_of(folder)
        draft.mkdir(parents=True, exist_ok=True)
        return draft

    def put(self, folder: Path, file: str) -> None:
        """Flush the file to disk."""
        flush(draft_of(folder) / file)

    def complete(self, folder: Path, files: Collection[str]) -> None:
        """Rename the draft, without what else a killed writer may have left in it."""
        draft = draft_of(folder)
        if not draft.is_dir() and all((folder / file).is_file() for file in files):
            return  # it was asked before
        for file in files:
            if not (draft / file).is_file():
                raise MissingError(f"{folder} lacks {file}, which was never handed in")
        for left in [each for each in draft.rglob("*") if each.is_file()]:
            if left.relative_to(draft).as_posix() not in files:
                left.unlink()
        flush(draft)
        gone = _put_aside(folder)
        draft.rename(folder)
        flush(folder.parent)
        _delete(gone)

    def discard(self, folder: Path) -> None:
        """Remove the draft."""
        shutil.rmtree(draft_of(folder), ignore_errors=True)

    def amend(self, folder: Path, file: str, content: bytes) -> None:
        """Write it beside, and rename."""
        draft = folder / f".{file}"
        draft.write_bytes(content)
        flush(draft)
        draft.rename(folder / file)
        flush(folder)

    def remove(self, folder: Path) -> None:
        """Rename it, then delete that: half of a folder is none, also where this is killed."""
        _put_aside(folder)
        for gone in folder.parent.glob(f"{_GONE}*"):  # this, and what a killed process left
            _delete(gone)


def draft_of(folder: Path) -> Path:
    """Return where a folder is drafted on its own node, e.g. `policy/.draft-v000040`."""
    return folder.with_name(f"{_DRAFT}{folder.name}")


@contextmanager
def discarded_on_failure(
    store: FolderStore, folder: Path, *, is_alone: bool = True
) -> Iterator[None]:
    """Leave nothing of a draft behind that could not be made a folder.

    Args:
        store: How this process reaches the folder.
        folder: What is drafted.
        is_alone: Whether nobody else drafts it now; else it stays, for the others are at it.
    """
    try:
        yield
    except BaseException:
        if is_alone:
            store.discard(folder)
        raise


def versions_in(root: Path) -> tuple[Path, ...]:
    """Return the folders below one that are called v1, v000002 …, oldest first.

    Raises ResourceError where it may not be looked into.
    """
    return tuple(
        each
        for each in in_version_order(listed(root, "the versions that are kept", LOOK_INTO))
        if is_folder(each, "a version that is kept", LOOK_INTO)
    )


def in_version_order(named: Iterable[Path]) -> list[Path]:
    """Return those called as versions are, oldest first."""
    return sorted(filter(is_version, named), key=lambda folder: int(folder.name[1:]))


def is_version(folder: Path) -> bool:
    """Say whether a folder is called as versions are, e.g. "v000002"."""
    return folder.name[:1] == "v" and folder.name[1:].isdecimal()


def clear_left(root: Path) -> None:
    """Delete what killed processes drafted or half removed below a folder, while nobody drafts."""
    for hidden in (_DRAFT, _GONE):
        for left in list(root.rglob(f"{hidden}*")):
            _delete(left)


def _put_aside(folder: Path) -> Path:
    """Take a folder from its place, if it is there, and return where it is then."""
    gone = folder.with_name(f"{_GONE}{folder.name}")
    _delete(gone)  # of a process that was killed at it
    if folder.is_dir():
        folder.rename(gone)
        flush(folder.parent)
    return gone


def _delete(folder: Path) -> None:
    if folder.is_dir():
        with suppress(FileNotFoundError):  # another process may be at it
            shutil.rmtree(folder)


def not_there(folder: Path) -> MissingError:
    """Return the error to raise where a folder is asked for that nobody has completed."""
    return MissingError(f"{folder} is not there: it was never written whole, or was removed")


def files_in(folder: Path, patterns: Collection[str] = ("*",)) -> list[str]:
    """Return the files in a folder and in those within it, e.g. "config.json", sorted.

    Args:
        folder: Hidden files of it are left out.
        patterns: Those that match one of them.
    """
    if not any(sign in pattern for pattern in patterns for sign in "*?["):
        return sorted(name for name in set(patterns) if (folder / name).is_file())
    found = [each.relative_to(folder) for each in folder.rglob("*") if each.is_file()]
    shown = (each.as_posix() for each in found if not any(p.startswith(".") for p in each.parts))
    return sorted(name for name in shown if matches(name, patterns))


def matches(file: str, patterns: Collection[str]) -> bool:
    """Whether a file is among those asked for."""
    return any(fnmatchcase(file, each) for each in patterns)
