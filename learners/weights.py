"""The learner's end of the weight path, by way of the host: a shared file, or an object store."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

from torch import Tensor

from learners.owned_folder import OwnedFolder
from protocol.errors import VersionError
from protocol.messages import StoredWeights, WeightsFile
from reward_service.tensor_files import cut, write_tensors

KEPT_VERSIONS = 3
"""Versions kept: an actor may still read the last, or retry the one before, while one is
written."""
PIECE_BYTES = 2**28
"""Bytes of a piece in an object store. What takes pieces in could not take 4 GiB at once."""


class SharedMemoryPublisher:
    """Puts each version into a safetensors file of a folder in shared memory.

    For actors on the learner's own machine. A file appears whole or not at all.

    Args:
        begins: How the path of the folder begins, e.g. /dev/shm/andon-RUN. It is made here, and
            removed by `close`, or when this process is gone.
        kept_versions: How many stay; more than the learner may run ahead of an actor's load.
    """

    def __init__(self, begins: Path, kept_versions: int = KEPT_VERSIONS) -> None:
        self._folder = OwnedFolder(begins)
        self._kept_versions = kept_versions
        self._files: OrderedDict[int, Path] = OrderedDict()

    def publish(self, version: int, tensors: Mapping[str, object]) -> WeightsFile:
        """Write a version and return where it is.

        Raises:
            VersionError: The version is not above the last.
        """
        check_rising(version, self._files)
        path = self._folder.path / f"policy-{version:06d}.safetensors"
        draft = path.with_suffix(".draft")
        with draft.open("wb") as file:
            written = write_tensors(file, cast(Mapping[str, Tensor], tensors))
        draft.rename(path)
        self._files[version] = path
        while len(self._files) > self._kept_versions:
            self._files.popitem(last=False)[1].unlink()
        return WeightsFile(path=str(path), sha256=written.sha256, num_bytes=written.num_bytes)

    def close(self) -> None:
        """Remove the folder. May be called twice."""
        self._folder.remove()


class ObjectStorePublisher:
    """Puts each version into an object store, as a safetensors file cut into pieces.

    For actors on any machine of the cluster. No whole version is ever in this process.

    Args:
        put: Stores bytes and returns a reference that can be sent, e.g. `ray.put`.
        kept_versions: How many stay; more than the learner may run ahead of an actor's load.
        piece_bytes: Of a piece.
    """

    def __init__(
        self,
        put: Callable[[bytes], object],
        kept_versions: int = KEPT_VERSIONS,
        piece_bytes: int = PIECE_BYTES,
    ) -> None:
        self._put = put
        self._kept_versions = kept_versions
        self._piece_bytes = piece_bytes
        self._references: OrderedDict[int, tuple[object, ...]] = OrderedDict()

    def publish(self, version: int, tensors: Mapping[str, object]) -> StoredWeights:
        """Store a version and return its references.

        Raises:
            VersionError: The version is not above the last.
        """
        check_rising(version, self._references)
        digest, num_bytes = hashlib.sha256(), 0
        stored: list[object] = []
        for piece in cut(cast(Mapping[str, Tensor], tensors), self._piece_bytes):
            digest.update(piece)
            num_bytes += len(piece)
            stored.append(self._put(piece))
            del piece  # before the next is made
        self._references[version] = tuple(stored)
        while len(self._references) > self._kept_versions:
            self._references.popitem(last=False)
        return StoredWeights(
            stored=self._references[version], sha256=digest.hexdigest(), num_bytes=num_bytes
        )

    def close(self) -> None:
        """Let the store free what is published. May be called twice."""
        self._references.clear()


def check_rising(version: int, kept: Mapping[int, object]) -> None:
    """Raise VersionError unless the version is above all that are kept."""
    if kept and version <= max(kept):
        raise VersionError(f"policy version {version} came after {max(kept)}")
