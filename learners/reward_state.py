"""What a reward trainer goes on from in another process: `reward/trainer/v000007/`.

    rank-0000.safetensors   that rank's weights, moments and random state; the gain it learns at
    trainer.json            what was learned and from which request, and the digest of each file

The folder appears whole or not at all, and before the bundle of its version does: whoever finds a
bundle as the newest finds this too. Kept are the newest and the one that it came after, for the
newest may have no bundle yet, or one that replicas do not take; and beside an update of a refit the
one before that, too, for the refit may have come with the update, and go with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator
from pydantic_core import to_json
from torch import Tensor

from learners.checkpoint import Layout
from learners.shares import read_share, share_name, write_share
from protocol.errors import BundleCorrupt, MissingError
from protocol.files import naming, writing
from protocol.fits import FitRequest
from protocol.folders import FoldersHere, discarded_on_failure
from protocol.ports import FolderStore
from protocol.schema import only
from protocol.settings import Bounded, Stored
from reward_service.manifests import parse_manifest

FOLDER = "trainer"
MANIFEST_FILE = "trainer.json"
MEND_DISK = "see to the disk of the run's reward folder"

_ENGINE, _GAIN, _SCORES = "engine/", "gain", "reference_scores"


class Manifest(Bounded):
    """What `trainer.json` holds."""

    format: Annotated[Stored, AfterValidator(only(1))] = 1
    """Version of the format; raised when an older reader could misread the folder."""
    version: Stored
    """The reward version that was fitted."""
    layout: Layout
    request_sha256: str
    """Digest of the fit that made the version, by which the same request is known again."""
    learned: tuple[str, ...]
    """Ids of all queries that the trainer has learned from, in any version."""
    sha256: tuple[str, ...]
    """[W], SHA-256 of each rank's file, in hex."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One rank's part of a trainer's state."""

    engine: dict[str, Tensor]
    """As `learners.engine.Engine.state` gave it."""
    gain: Tensor
    """[M], the scale at which warm updates learn."""
    reference_scores: Tensor | None
    """[N], the last version's scores of ρ's samples."""


class RewardStates:
    """The states of a run's reward trainer, as one rank sees them.

    Args:
        root: The run's `reward` folder, as the run's own node names it.
        layout: Of this trainer.
        rank: Of this process; rank 0 completes a folder and retires old ones.
        store: How this process reaches the folders; by default it is on that node.
    """

    def __init__(
        self, root: Path, layout: Layout, rank: int, store: FolderStore | None = None
    ) -> None:
        self._store = FoldersHere() if store is None else store
        self._root = root / FOLDER
        self._layout = layout
        self._rank = rank

    def write_share(self, version: int, share: Share) -> str:
        """Write this rank's file and hand it in, flushed to disk; return its digest.

        Raises:
            DiskFull: There is no room for it.
            ResourceError: The disk or the store refuses otherwise.
        """
        tensors = {f"{_ENGINE}{name}": tensor for name, tensor in share.engine.items()}
        tensors[_GAIN] = share.gain.detach().cpu().contiguous()
        if share.reference_scores is not None:
            tensors[_SCORES] = share.reference_scores.contiguous()
        folder, name = self.folder(version), share_name(self._rank)
        is_alone = self._layout.num_ranks == 1
        with (
            writing(folder / name, MEND_DISK),
            discarded_on_failure(self._store, folder, is_alone=is_alone),
        ):
            digest = write_share(self._store.draft(folder) / name, tensors)
            self._store.put(folder, name)
        return digest

    def complete(
        self,
        version: int,
        request: FitRequest,
        learned: Iterable[str],
        sha256: tuple[str, ...],
        *,
        after: int = 0,
        retires: bool = True,
    ) -> None:
        """Once all ranks have written, make the folder appear, and retire others. Rank 0 alone.

        A state of that version whose bundle never came, since the trainer died, gives way.

        Args:
            version: The reward version that was fitted.
            request: The fit that made it.
            learned: Ids of all queries learned from.
            sha256: [W], of each rank's file.
            after: The version that is live until this one is, whose state stays; 0: none.
            retires: Whether states of other versions go.

        Raises:
            DiskFull: There is no room for the manifest; the folder does not appear.
            ResourceError: The disk or the store refuses otherwise.
        """
        folder = self.folder(version)
        manifest = Manifest(
            version=version,
            layout=self._layout,
            request_sha256=digest_of(request),
            learned=tuple(sorted(learned)),
            sha256=sha256,
        )
        with writing(folder, MEND_DISK), discarded_on_failure(self._store, folder):
            path = self._store.draft(folder) / MANIFEST_FILE
            with naming(path):
                path.write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
            self._store.put(folder, MANIFEST_FILE)
            shares = [share_name(rank) for rank in range(self._layout.num_ranks)]
            self._store.complete(folder, [*shares, MANIFEST_FILE])
        if retires:
            self._retire((folder, self.folder(after)))

    def _retire(self, kept: Collection[Path]) -> None:
        for other in self._store.versions(self._root):
            if other not in kept:
                self._store.remove(other)

    def discard(self, version: int) -> None:
        """Forget what was drafted of a version. Rank 0 alone, once no rank drafts it."""
        self._store.discard(self.folder(version))

    def read(self, version: int) -> tuple[Manifest, Share]:
        """Return what is kept of a version, this rank's share proved against its digest.

        Raises:
            MissingError: Nothing is.
            BundleCorrupt: A file is missing or unreadable, is not the one that was written, or is
                of a trainer spread otherwise.
        """
        folder = self.folder(version)
        if folder not in self._store.versions(self._root):
            raise MissingError(
                f"no state of a reward trainer at {folder}: it cannot go on from there"
            )
        name = share_name(self._rank)
        found = self._store.fetch(folder, [MANIFEST_FILE, name])
        manifest = parse_manifest(found / MANIFEST_FILE, Manifest)
        if manifest.layout != self._layout:
            raise BundleCorrupt(
                f"{folder} is of a trainer with {manifest.layout}, this one has {self._layout}"
            )
        tensors = read_share(found / name, manifest.sha256[self._rank])
        engine = {
            name.removeprefix(_ENGINE): tensor
            for name, tensor in tensors.items()
            if name.startswith(_ENGINE)
        }
        gain, scores = tensors[_GAIN].clone(), tensors.get(_SCORES)  # these outlive the file
        scores = None if scores is None else scores.clone()
        share = Share(engine=engine, gain=gain, reference_scores=scores)
        return manifest, share

    def folder(self, version: int) -> Path:
        """Return where the state of a version lies, or would."""
        return self._root / f"v{version:06d}"


def digest_of(request: FitRequest) -> str:
    """Return the SHA-256 by which a request is known again, in hex.

    Of one without marks it is what it was before there were any.
    """
    unmarked = not any(each.marks for each in request.comparisons)
    left_out: Any = {"comparisons": {"__all__": {"marks"}}} if unmarked else None
    return hashlib.sha256(to_json(request, exclude=left_out)).hexdigest()
