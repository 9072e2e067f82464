"""The run's folders at a URL, by fsspec, and the only module that imports it.

    URL/demo-1/policy/v000040/index.json                       what the folder holds
    URL/demo-1/policy/v000040/3f5a…-rank-0000.safetensors      a file, by its digest
    URL/demo-1/policy/v000040/handed-in/rank-0000.safetensors  what a writer says of it until then

A store of objects renames nothing, but it takes an object whole or not at all. So a folder is there
once its index is, and a file never changes under its name.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
from pydantic import TypeAdapter, ValidationError

from cluster.stores.cache import FolderCache
from cluster.stores.contents import StoredFile, stored_file, use_of
from cluster.stores.drafts import ScratchDrafts
from cluster.stores.patient_files import PatientFiles
from protocol.errors import AndonError, BundleCorrupt, ConfigError, MissingError, ResourceError
from protocol.files import is_full
from protocol.folders import in_version_order, matches, not_there
from protocol.said import said_by

INDEX_FILE = "index.json"
HANDED_IN = "handed-in"
_WHOLE_AT_ONCE = frozenset({"memory", "s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"})
"""Stores of objects, that nobody sees an object of before all of it has come."""
_INDEX = TypeAdapter(tuple[StoredFile, ...])


class FoldersAtUrl:
    """See `protocol.ports.FolderStore`.

    Args:
        url: Where, e.g. "s3://bucket/andon".
        run: The run's folder, whose folders are found under the run's name.
        cache: Where this node keeps copies and drafts.

    Raises:
        ConfigError: fsspec knows no such place.
    """

    def __init__(self, url: str, run: Path, cache: FolderCache) -> None:
        self._url = url.rstrip("/")
        self._run = run
        self._cache = cache
        self._drafts = ScratchDrafts(cache)
        self._files, self._root = _opened(self._url)

    def check(self, *, is_new: bool) -> None:
        """Write an object, read it back and delete it.

        Args:
            is_new: Whether the run begins, so that nothing may be there of it.

        Raises:
            ResourceError: The store refuses one of these.
            ConfigError: It has folders of another run of this name.
        """
        key, content = f"{self._root}/.andon-{uuid4().hex}", b"andon"
        with self._answering("written"):
            self._write(key, content)
        with self._answering("read"):
            found = self._files.cat_file(key)
        with self._answering("deleted from"):
            self._files.rm_file(key)
        if found != content:
            raise ResourceError(f"cluster.store {self._url}: what was read is not what was written")
        with self._answering("read"):
            is_taken = is_new and self._files.exists(f"{self._root}/{self._run.name}")
        if is_taken:
            raise ConfigError(
                f"cluster.store {self._url} has folders of a run called {self._run.name}: name "
                "another folder with --folder, or another place, or remove those"
            )

    def versions(self, root: Path) -> tuple[Path, ...]:
        """See the port."""
        place = self._key(root)
        with self._answering("read"):
            self._files.invalidate_cache()
            found = self._files.ls(place, detail=False) if self._files.exists(place) else []
            named = [root / str(each).rstrip("/").rpartition("/")[2] for each in found]
            return tuple(
                each
                for each in in_version_order(named)
                if self._files.exists(f"{self._key(each)}/{INDEX_FILE}")
            )

    def fetch(self, folder: Path, files: Collection[str] = ("*",)) -> Path:
        """Return this node's copy, made now or before."""
        index = self.index(folder)
        if index is None:
            raise not_there(folder)
        stored = [each for each in index if matches(each.name, files)]
        return self._cache.take(stored, partial(self.read, folder), use_of(folder, files))

    def draft(self, folder: Path) -> Path:
        """Return a folder of this process alone."""
        return self._drafts.of(folder)

    def put(self, folder: Path, file: str) -> None:
        """Upload the file; here it is gone then."""
        draft = self.draft(folder)
        self.hand_in(folder, stored_file(draft, file), draft / file)
        (draft / file).unlink()

    def complete(self, folder: Path, files: Collection[str]) -> None:
        """Write the index, by what all writers have said of their files."""
        stored = tuple(self._said_of(folder, file) for file in sorted(files))
        self._write_index(folder, stored)
        with self._answering("written"):
            self._remove_but(folder, stored)
        self.discard(folder)

    def discard(self, folder: Path) -> None:
        """Remove what this process has drafted."""
        self._drafts.discard(folder)

    def amend(self, folder: Path, file: str, content: bytes) -> None:
        """Upload the file, then an index that has it."""
        index = self.index(folder)
        if index is None:
            raise not_there(folder)
        digest = hashlib.sha256(content).hexdigest()
        stored = StoredFile(name=file, size=len(content), sha256=digest)
        with self._answering("written"):
            self._write(self._object(folder, stored), content)
        kept = [each for each in index if each.name != file]
        self._write_index(folder, (*kept, stored))

    def remove(self, folder: Path) -> None:
        """Delete the index first: what is half removed is not there."""
        with self._answering("deleted from"):
            self._files.invalidate_cache()
            if self._files.exists(index := f"{self._key(folder)}/{INDEX_FILE}"):
                self._files.rm_file(index)
            if self._files.exists(self._key(folder)):
                self._files.rm(self._key(folder), recursive=True)

    def hand_in(self, folder: Path, stored: StoredFile, path: Path) -> None:
        """Upload a file that lies at a path of this node, for a folder to be completed."""
        with self._answering("written"):
            self._upload(folder, stored, path)
            self._write(self._ticket(folder, stored.name), stored.model_dump_json().encode())

    def index(self, folder: Path) -> tuple[StoredFile, ...] | None:
        """Return what a folder holds; None where it is not there.

        Raises:
            BundleCorrupt: Its index is garbled.
        """
        key = f"{self._key(folder)}/{INDEX_FILE}"
        with self._answering("read"):
            self._files.invalidate_cache()
            content = self._files.cat_file(key) if self._files.exists(key) else None
        if content is None:
            return None
        try:
            return _INDEX.validate_json(content)
        except ValidationError as error:
            said = error.errors()[0]["msg"]
            raise BundleCorrupt(f"{self._url}: {key} is no index: {said}") from error

    def read(self, folder: Path, stored: StoredFile, path: Path) -> None:
        """Download a file of a folder."""
        with self._answering("read"):
            self._files.get_file(self._object(folder, stored), str(path))

    def offer(self, folder: Path, found: Collection[StoredFile]) -> None:
        """Upload those files of a folder on this node that the store has not yet."""
        there = set(self.index(folder) or ())
        lacking = [each for each in found if each not in there]
        if not lacking:
            return
        with self._answering("written"):
            for stored in lacking:
                self._upload(folder, stored, folder / stored.name)
        names = {each.name for each in lacking}
        self._write_index(folder, (*(each for each in there if each.name not in names), *lacking))

    def _said_of(self, folder: Path, file: str) -> StoredFile:
        key = self._ticket(folder, file)
        with self._answering("read"):
            self._files.invalidate_cache()
            content = self._files.cat_file(key) if self._files.exists(key) else None
        if content is not None:
            return self._ticket_of(key, file, content)
        for stored in self.index(folder) or ():
            if stored.name == file:
                return stored  # it was completed before
        raise MissingError(f"{folder} lacks {file}, which was never handed in")

    def _ticket_of(self, key: str, file: str, content: bytes) -> StoredFile:
        try:
            stored = StoredFile.model_validate_json(content)
        except ValidationError as error:
            said = error.errors()[0]["msg"]
            raise BundleCorrupt(f"{self._url}: {key} says nothing of {file}: {said}") from error
        if stored.name != file:
            raise BundleCorrupt(f"{self._url}: {key} is of {stored.name}, and not of {file}")
        return stored

    def _upload(self, folder: Path, stored: StoredFile, path: Path) -> None:
        key = self._object(folder, stored)
        if not self._files.exists(key):
            with self._drafted(key) as draft:
                self._files.put_file(str(path), draft)

    def _write_index(self, folder: Path, stored: tuple[StoredFile, ...]) -> None:
        content = _INDEX.dump_json(tuple(sorted(stored, key=lambda each: each.name)), indent=2)
        with self._answering("written"):
            self._write(f"{self._key(folder)}/{INDEX_FILE}", content)

    def _write(self, key: str, content: bytes) -> None:
        with self._drafted(key) as draft:
            self._files.pipe_file(draft, content)

    @contextmanager
    def _drafted(self, key: str) -> Iterator[str]:
        """Give where to write what is to be at a key, where nobody may see the half of it."""
        if _WHOLE_AT_ONCE.intersection(_protocols(self._files)):
            yield key
            return
        parent, _, name = key.rpartition("/")
        self._files.makedirs(parent, exist_ok=True)
        draft = f"{parent}/.{name}-{uuid4().hex}"
        yield draft
        self._files.mv(draft, key)

    def _remove_but(self, folder: Path, stored: tuple[StoredFile, ...]) -> None:
        """Delete what earlier writers left, and what they said of it."""
        kept = {self._object(folder, each) for each in stored}
        kept.add(f"{self._key(folder)}/{INDEX_FILE}")
        self._files.invalidate_cache()
        for key in self._files.find(self._key(folder)):
            if key not in kept:
                self._files.rm_file(key)

    def _key(self, folder: Path) -> str:
        return f"{self._root}/{_place(self._run, folder)}"

    def _object(self, folder: Path, stored: StoredFile) -> str:
        return f"{self._key(folder)}/{_object_name(stored)}"

    def _ticket(self, folder: Path, file: str) -> str:
        return f"{self._key(folder)}/{HANDED_IN}/{file}"

    @contextmanager
    def _answering(self, done: str) -> Iterator[None]:
        """Turn what a file system of fsspec raises, whatever its type, into an error of ours."""
        try:
            yield
        except AndonError:
            raise
        except Exception as error:
            if done == "read" and isinstance(error, OSError) and is_full(error):
                raise  # the disk of this node, to which it was downloaded
            said = said_by(error, most=None)
            raise ResourceError(
                f"cluster.store {self._url} cannot be {done} ({said}): see that it is there and "
                'that every node may use it, or set cluster.store = "object_store"'
            ) from error


def address(url: str, run: Path, folder: Path, stored: StoredFile) -> str:
    """Return the URL of a file of a folder, asking nobody whether it is there.

    Args:
        url: The store's, e.g. "s3://bucket/andon".
        run: The run's folder.
        folder: As the run's own node names it.
        stored: What the file holds.
    """
    return f"{url.rstrip('/')}/{_place(run, folder)}/{_object_name(stored)}"


def _place(run: Path, folder: Path) -> str:
    """Return where a folder is below the store's root."""
    if folder.is_relative_to(run):
        return f"{run.name}/{folder.relative_to(run).as_posix()}"
    digest = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    return f"given/{digest}-{folder.name}"


def _object_name(stored: StoredFile) -> str:
    return f"{stored.sha256[:32]}-{stored.name}"


def _opened(url: str) -> tuple[Any, str]:
    """Return fsspec's file system, which tries a few times, and the path in it."""
    try:
        files, root = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise ConfigError(
            f"cluster.store {url}: {' '.join(str(error).split())}; on every node"
        ) from error
    return PatientFiles(files, random.Random(), time.sleep), str(root).rstrip("/")


def _protocols(files: Any) -> tuple[str, ...]:
    named = files.protocol
    return (named,) if isinstance(named, str) else tuple(named)
