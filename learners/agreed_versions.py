"""The versions of a reward trainer on disk, as all its ranks do with them: none goes on alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from learners.agreement import as_rank_0_sees, on_all
from learners.checkpoint import Layout
from learners.config import DeepSpeedConfig
from learners.engine import Engine
from learners.fresh_models import FreshModels
from learners.reward_state import Manifest, RewardStates, Share
from protocol.errors import AndonError
from protocol.fits import FitRequest, RewardVersion
from protocol.ports import FolderStore
from reward_service.bundle import write_bundle
from reward_service.bundle_manifest import MANIFEST_FILE, read_manifest
from reward_service.retention import bundle_path, is_withdrawn, newest_bundle


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What of a trainer goes into its state, beside the engine."""

    request: FitRequest
    query_ids: Collection[str]
    """Ids of all queries learned from, in any version."""
    gain: Tensor
    """[M], the scale at which it learns."""
    reference_scores: Tensor | None
    """[N], the last version's scores of ρ's samples."""
    after: int
    """The version that the fit went on from, or stands beside; 0: none."""
    is_first_of_refit: bool
    """Whether the fit went on from a refit, which may never be served but for it."""


class AgreedVersions:
    """Writes and reads a trainer's bundles and states; every method is a collective but `newest`.

    Args:
        root: The run's `reward` folder, as the run's own node names it.
        config: Of the trainer's engines.
        models: Those it trains.
        store: How this rank reaches that folder.
        keeps_state: Write beside each version what another trainer can go on from.
    """

    def __init__(
        self,
        root: Path,
        config: DeepSpeedConfig,
        models: FreshModels,
        store: FolderStore,
        *,
        keeps_state: bool,
    ) -> None:
        self._root = root
        self._layout = Layout(
            num_ranks=config.num_ranks, zero_stage=config.zero_stage, dtype=config.dtype
        )
        self._models = models
        self._store = store
        self._keeps_state = keeps_state

    def newest(self) -> int:
        """Return the newest version that has a bundle, withdrawn or not; 0: none has."""
        found = self._store.versions(self._root)
        return int(found[-1].name[1:]) if found else 0

    def write(
        self, engine: Engine, announcement: RewardVersion, learned: Learned
    ) -> RewardVersion | None:
        """Write the state, then the bundle, which promises that it can be gone on from.

        Returns the announcement on rank 0, None elsewhere.

        Raises:
            NotFinite: A weight or a metric is NaN or infinity.
            DiskFull: There is no room for it, on whichever rank; no bundle is there.
            ResourceError: The disk or the store refuses otherwise.
        """
        if self._keeps_state:
            self._write_state(engine, announcement.version, learned)
        return on_all(engine, lambda: self._write_bundle(engine, announcement))

    def read(self, engine: Engine, bundle: Path) -> tuple[Manifest, Share, RewardVersion]:
        """Read what was kept beside a bundle; return it, this rank's share, the announcement.

        Raises:
            MissingError: There is no such bundle, or no state beside it.
            BundleCorrupt: They are not what was written, or of a trainer spread otherwise.
        """

        def read() -> tuple[Manifest, Share, RewardVersion]:
            kept = read_manifest(self._store.fetch(bundle, [MANIFEST_FILE]))
            announcement = replace(kept.announcement, path=str(bundle))
            return (*self._states(engine).read(announcement.version), announcement)

        return on_all(engine, read)

    def is_withdrawn(self, engine: Engine, version: int) -> bool:
        """Whether replicas would not take a version, of which there is a bundle."""
        folder = bundle_path(self._root, version)
        return as_rank_0_sees(engine, lambda: is_withdrawn(folder, self._store))

    def standing(self, engine: Engine) -> Path | None:
        """Return the newest bundle that is not withdrawn; None: there is none."""
        return on_all(engine, lambda: newest_bundle(self._root, self._store))

    def _write_state(self, engine: Engine, version: int, learned: Learned) -> None:
        share = Share(
            engine=engine.state(),
            gain=learned.gain,
            reference_scores=learned.reference_scores,
        )
        states = self._states(engine)
        try:
            own = bytes.fromhex(on_all(engine, lambda: states.write_share(version, share)))
            # The folder may appear once every rank has written: this is where they meet.
            rows = engine.gathered(torch.tensor([list(own)], device=engine.device))
            digests = tuple(bytes(row).hex() for row in rows.tolist())
            on_all(engine, lambda: self._complete(states, engine.rank, version, learned, digests))
        except (AndonError, OSError):
            if engine.rank == 0:  # by now no rank drafts it any more
                states.discard(version)
            raise

    @staticmethod
    def _complete(
        states: RewardStates, rank: int, version: int, learned: Learned, digests: tuple[str, ...]
    ) -> None:
        if rank == 0:
            states.complete(
                version,
                learned.request,
                learned.query_ids,
                digests,
                after=learned.after,
                retires=not learned.is_first_of_refit,
            )

    def _write_bundle(self, engine: Engine, announcement: RewardVersion) -> RewardVersion | None:
        """Write the bundle on rank 0, to which all give their parts of it."""

        def write(tensors: Mapping[str, Tensor]) -> RewardVersion:
            model = self._models.outlined(engine.module)
            return write_bundle(self._root, model, announcement, self._store, tensors)

        tensors = engine.whole_tensors(with_constant=False)
        return tensors.taken(write if engine.rank == 0 else None)

    def _states(self, engine: Engine) -> RewardStates:
        return RewardStates(self._root, self._layout, engine.rank, self._store)
