"""A policy version as it can be trained on from: `policy/v000040/` with one file a rank.

    rank-0000.safetensors   that rank's weights, master weights, moments and random state
    manifest.json           what the learner counts beside them, and the digest of each file

A folder appears whole or not at all, and nothing in it is a pickle.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field
from torch import Tensor

from learners.config import CheckpointConfig
from learners.shares import prove_share, read_share, share_name, write_share
from protocol.errors import (
    AndonError,
    BundleCorrupt,
    DiskFull,
    MissingError,
    ResourceError,
    VersionError,
)
from protocol.files import is_full, naming
from protocol.folders import FoldersHere, discarded_on_failure
from protocol.ports import FolderStore
from protocol.schema import only
from protocol.settings import Bounded, Processes, Stored
from reward_service.manifests import parse_manifest

MANIFEST_FILE = "manifest.json"


class Position(Bounded):
    """Where the learner stands, beside its tensors."""

    version: Stored
    num_steps: Stored
    """PPO steps from ρ to here: the position in the stream that orders minibatches."""
    episodes: Stored
    """The run's clock when the checkpoint was written; a rollback does not set it back."""
    kl_coefficient: float = Field(ge=0, le=sys.float_info.max)
    reward_version: Stored
    """Reward version that the last step trained on; 0 for ρ."""
    learned_through: Stored
    restored_from: Stored | None = None
    """The version whose weights these are again, where a rollback or a resume made this one."""
    moved_kl: float = Field(default=0.0, ge=0, le=sys.float_info.max)
    """The way from ρ to here, nats; see `PolicyVersion`. 0 in checkpoints that do not say."""

    def has_come_as(self, other: Position) -> bool:
        """Whether both have the same steps behind them, as far as was counted."""
        return (self.num_steps, self.episodes, self.reward_version, self.learned_through) == (
            other.num_steps,
            other.episodes,
            other.reward_version,
            other.learned_through,
        )


class Layout(Bounded):
    """How the state is spread; it can only be given back to a learner spread alike."""

    num_ranks: Processes
    zero_stage: int = Field(ge=0, le=3)
    dtype: str
    has_average: bool = False
    """Whether the average of the versions is part of it."""


class Manifest(Bounded):
    """What `manifest.json` holds."""

    format: Annotated[Stored, AfterValidator(only(1))] = 1
    """Version of the format; raised when an older reader could misread the folder."""
    position: Position
    layout: Layout
    next_reward: Stored | None
    """The reward version that the next step was the first to train on, if that is why the
    checkpoint was written: it then holds the last policy that is clean of whatever that version
    learned."""
    is_cut: bool = False
    """Whether a checkpoint of the whole run names this one; a run is resumed from the newest."""
    sha256: tuple[str, ...]
    """[W], SHA-256 of each rank's file, in hex."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One rank's share of a checkpoint, in memory."""

    position: Position
    state: dict[str, Tensor]


class CheckpointFolder:
    """The checkpoints of a run, as one rank sees them.

    Args:
        root: The run's `policy` folder, as the run's own node names it.
        config: How many are kept.
        layout: Of this learner.
        rank: Of this process; rank 0 completes a folder and retires old ones.
        store: How this process reaches the folders; by default it is on that node.
    """

    def __init__(
        self,
        root: Path,
        config: CheckpointConfig,
        layout: Layout,
        rank: int,
        store: FolderStore | None = None,
    ) -> None:
        self._store = FoldersHere() if store is None else store
        self._root = root
        self._config = config
        self._layout = layout
        self._rank = rank

    def versions(self) -> tuple[int, ...]:
        """Return the versions that can be restored, oldest first."""
        return tuple(int(folder.name[1:]) for folder in self._store.versions(self._root))

    def write_share(self, version: int, state: dict[str, Tensor]) -> str:
        """Write this rank's file and hand it in, flushed to disk; return its digest.

        Raises:
            DiskFull: There is no room for it.
            ResourceError: The disk or the store refuses otherwise.
        """
        folder, name = self.folder(version), share_name(self._rank)
        is_alone = self._layout.num_ranks == 1
        with (
            self._keeping(version),
            discarded_on_failure(self._store, folder, is_alone=is_alone),
        ):
            path = self._store.draft(folder) / name
            try:
                digest = write_share(path, state)
                self._store.put(folder, name)
            except OSError:
                path.unlink(missing_ok=True)
                raise
        return digest

    def complete(
        self,
        position: Position,
        next_reward: int | None,
        sha256: tuple[str, ...],
        *,
        is_cut: bool = False,
    ) -> None:
        """Once all ranks have written, make the folder appear, and retire old ones. Rank 0 alone.

        Raises:
            VersionError: The version was written before.
            DiskFull: There is no room for the manifest; the folder does not appear.
            ResourceError: The disk or the store refuses otherwise.
        """
        folder = self.folder(position.version)
        if position.version in self.versions():
            raise VersionError(f"policy version {position.version} was written before: {folder}")
        manifest = Manifest(
            position=position,
            layout=self._layout,
            next_reward=next_reward,
            is_cut=is_cut,
            sha256=sha256,
        )
        with self._keeping(position.version), discarded_on_failure(self._store, folder):
            path = self._store.draft(folder) / MANIFEST_FILE
            with naming(path):
                path.write_bytes(_content(manifest))
            self._store.put(folder, MANIFEST_FILE)
            shares = [share_name(rank) for rank in range(self._layout.num_ranks)]
            self._store.complete(folder, [*shares, MANIFEST_FILE])
        self._retire()

    def discard(self, version: int) -> None:
        """Forget what was drafted of a version. Rank 0 alone, once no rank drafts it."""
        self._store.discard(self.folder(version))

    def mark(self, version: int, next_reward: int) -> None:
        """Note of a kept version that the next step was the first on a reward. Rank 0 alone."""
        self._note(version, next_reward=next_reward)

    def mark_cut(self, version: int) -> None:
        """Note of a kept version that a checkpoint of the whole run names it. Rank 0 alone."""
        self._note(version, is_cut=True)

    def forget_cuts_after(self, version: int) -> None:
        """Note of all later versions that the run was resumed without them. Rank 0 alone.

        Else they, and not what it was resumed from, would be held for the next resume.
        """
        for later in self.versions():
            if later > version and self._manifest(later).is_cut:
                self._note(later, is_cut=False)

    def position(self, version: int) -> Position:
        """Return where the learner stood when it kept a version. Errors as `read`."""
        return self._manifest(version).position

    def read(self, version: int) -> Checkpoint:
        """Return this rank's share of a checkpoint, proved against its digest.

        Raises:
            MissingError: There is none of this version.
            BundleCorrupt: A file is missing or unreadable, is not the one that was written, or is
                of a learner spread otherwise.
        """
        folder = self.folder(version)
        manifest = self._manifest(version)
        if manifest.layout != self._layout:
            raise BundleCorrupt(
                f"{folder} is of a learner with {manifest.layout}, this one has {self._layout}"
            )
        name = share_name(self._rank)
        path = self._store.fetch(folder, [name]) / name
        state = read_share(path, manifest.sha256[self._rank])
        return Checkpoint(position=manifest.position, state=state)

    def folder(self, version: int) -> Path:
        """Return where a version lies, or would."""
        return self._root / f"v{version:06d}"

    def _manifest(self, version: int) -> Manifest:
        versions = self.versions()
        found = self.folder(version)
        if version in versions:
            found = self._store.fetch(found, [MANIFEST_FILE])
        path = found / MANIFEST_FILE
        if not path.is_file():
            known = ", ".join(map(str, versions)) or "none"
            raise MissingError(
                f"no checkpoint of policy version {version}: there are {known} in {self._root}"
            )
        return parse_manifest(path, Manifest)

    @contextmanager
    def _keeping(self, version: int) -> Iterator[None]:
        """Say what a disk that refuses means; what a store says has its own mend."""
        try:
            yield
        except AndonError:
            raise
        except OSError as error:
            kind = DiskFull if is_full(error) else ResourceError
            # On another node it is drafted elsewhere than below the root.
            raise kind(
                f"policy version {version} cannot be kept ({error}): free space on the disk of "
                f"{error.filename or self._root}, or lower learner.checkpoint.keep"
            ) from error

    def _note(self, version: int, **changes: object) -> None:
        manifest = self._manifest(version).model_copy(update=changes)
        with self._keeping(version):
            self._store.amend(self.folder(version), MANIFEST_FILE, _content(manifest))

    def _retire(self) -> None:
        manifests = self._manifests()
        versions = tuple(manifests)
        marked = {v for v, each in manifests.items() if each.next_reward is not None}
        # Two: the newest one's file of the run is written after this, and may never be.
        cuts = [v for v, each in manifests.items() if each.is_cut][-2:]
        for version in set(versions) - set(kept(versions, marked, self._config.keep, cuts)):
            self._store.remove(self.folder(version))

    def _manifests(self) -> dict[int, Manifest]:
        """Return what is kept, oldest first; a folder that lacks its manifest is none, and goes."""
        found = {}
        for version in self.versions():
            try:
                found[version] = self._manifest(version)
            except MissingError:
                self._store.remove(self.folder(version))
        return found


def prove_kept(folder: Path, *, by_digests: bool) -> None:
    """Check that what is kept of a version is there, before anybody counts on it.

    Args:
        folder: Of the version, on this node.
        by_digests: Read each rank's file, and hold it to its digest; else only that it is there.

    Raises:
        BundleCorrupt: A file is missing or unreadable, or is not the one that was written.
    """
    path = folder / MANIFEST_FILE
    if not path.is_file():
        raise BundleCorrupt(f"{folder} has no {MANIFEST_FILE}")
    for rank, sha256 in enumerate(parse_manifest(path, Manifest).sha256):
        prove_share(folder / share_name(rank), sha256 if by_digests else None)


def _content(manifest: Manifest) -> bytes:
    return (manifest.model_dump_json(indent=2) + "\n").encode()


def kept(
    versions: tuple[int, ...], marked: set[int], keep: int, cuts: Collection[int] = ()
) -> list[int]:
    """Return which of some versions, rising, stay when only `keep` may: always ρ and the newest.

    So do the `cuts`, from which the run may have to be resumed. The oldest of those not `marked` go
    first: a marked one is the last before a reward version, and what a rollback wants. Then goes
    the one whose neighbours are nearest to each other, the older of two alike, so that the rest
    stay spread over the whole run.
    """
    left = list(versions)
    while len(left) > keep:
        inner = [i for i in range(1, len(left) - 1) if left[i] not in cuts]
        if not inner:
            break
        plain = [i for i in inner if left[i] not in marked]
        gone = plain[0] if plain else min(inner, key=lambda i: left[i + 1] - left[i - 1])
        del left[gone]
    return left
