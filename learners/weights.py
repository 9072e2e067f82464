"""The learner's end of the weight path, by way of the host: a shared file, or an object store."""

from __future__ import annotations

import io
import shutil
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

from torch import Tensor

from protocol.errors import VersionError
from protocol.messages import StoredWeights, WeightsFile
from reward_service.tensor_files import write_tensors

KEPT_VERSIONS = 3
"""Versions kept: an actor may still read the last, or retry the one before, while one is
written."""


class SharedMemoryPublisher:
    """Puts each version into a safetensors file of a folder in shared memory.

    For actors on the learner's own machine. A file appears whole or not at all.

    Args:
        folder: Of this run alone, e.g. /dev/shm/andon-RUN; made here, and removed by `close`.
        kept_versions: How many stay; more than the learner may run ahead of an actor's load.
    """

    def __init__(self, folder: Path, kept_versions: int = KEPT_VERSIONS) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._kept_versions = kept_versions
        self._files: OrderedDict[int, Path] = OrderedDict()

    def publish(self, version: int, tensors: Mapping[str, object]) -> WeightsFile:
        """Write a version and return where it is.

        Raises:
            VersionError: The version is not above the last.
        """
        check_rising(version, self._files)
        path = self._folder / f"policy-{version:06d}.safetensors"
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
        shutil.rmtree(self._folder, ignore_errors=True)


class ObjectStorePublisher:
    """Puts each version into an object store, as safetensors bytes.

    For actors on any machine of the cluster.

    Args:
        put: Stores bytes and returns a reference that can be sent, e.g. `ray.put`.
        kept_versions: How many stay; more than the learner may run ahead of an actor's load.
    """

    def __init__(self, put: Callable[[bytes], object], kept_versions: int = KEPT_VERSIONS) -> None:
        self._put = put
        self._kept_versions = kept_versions
        self._references: OrderedDict[int, object] = OrderedDict()

    def publish(self, version: int, tensors: Mapping[str, object]) -> StoredWeights:
        """Store a version and return its reference.

        Raises:
            VersionError: The version is not above the last.
        """
        check_rising(version, self._references)
        with io.BytesIO() as file:
            written = write_tensors(file, cast(Mapping[str, Tensor], tensors))
            reference = self._put(file.getvalue())
        self._references[version] = reference
        while len(self._references) > self._kept_versions:
            self._references.popitem(last=False)
        return StoredWeights(stored=reference, sha256=written.sha256, num_bytes=written.num_bytes)

    def close(self) -> None:
        """Let the store free what is published. May be called twice."""
        self._references.clear()


def check_rising(version: int, kept: Mapping[int, object]) -> None:
    """Raise VersionError unless the version is above all that are kept."""
    if kept and version <= max(kept):
        raise VersionError(f"policy version {version} came after {max(kept)}")
