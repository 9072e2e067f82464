"""The checkpoints of a learner, as all its ranks do with them: each step of it is a collective."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from learners.agreement import as_rank_0_sees, on_all
from learners.checkpoint import Checkpoint, CheckpointFolder, Layout, Position
from learners.config import LearnerConfig
from learners.engine import Engine
from protocol.errors import AndonError, VersionError
from protocol.ports import FolderStore


class AgreedCheckpoints:
    """Writes and reads an engine's state on every rank, and lets none go on alone.

    Args:
        root: The run's `policy` folder, the same for all ranks.
        config: The learner's.
        engine: The engine whose state is kept.
        store: How this rank reaches that folder; by default it is on the run's own node.
    """

    def __init__(
        self,
        root: Path,
        config: LearnerConfig,
        engine: Engine,
        store: FolderStore | None = None,
    ) -> None:
        layout = Layout(
            num_ranks=config.num_ranks,
            zero_stage=config.zero_stage,
            dtype=config.dtype,
            has_average=config.ema is not None,
        )
        self._engine = engine
        self._every_steps = config.checkpoint.every_steps
        self._folder = CheckpointFolder(root, config.checkpoint, layout, engine.rank, store)

    def versions(self) -> tuple[int, ...]:
        """Return the policy versions that can be restored, oldest first. No collective."""
        return self._folder.versions()

    def keep(self, position: Position) -> None:
        """Write a checkpoint of where the learner stands, for one of the whole run.

        One that is there already is noted to be one.

        Raises:
            VersionError: What is there under this number has other steps behind it.
            ResourceError: The disk refuses, on whichever rank.
        """
        if not self._is_kept(position.version):
            self._write(position, None, is_cut=True)
            return
        self._refuse_another(position)
        self._on_rank_0(lambda: self._folder.mark_cut(position.version))

    def keep_if_due(self, position: Position, next_reward: int) -> None:
        """Write one before a step that trains on a reward version, where the config wants one.

        Raises:
            ResourceError: The disk refuses, on whichever rank.
        """
        is_last_before = next_reward != position.reward_version
        if not is_last_before and position.version % self._every_steps:
            return
        if not self._is_kept(position.version):
            self._write(position, next_reward if is_last_before else None)
        elif is_last_before:
            self._on_rank_0(lambda: self._folder.mark(position.version, next_reward))

    def read(self, version: int) -> Checkpoint:
        """Read a rank's share of a checkpoint on every rank; if one cannot, none goes on.

        Raises:
            MissingError: There is none of this version.
            BundleCorrupt: It is not what was written, on this rank or another.
        """
        return on_all(self._engine, lambda: self._folder.read(version))

    def resumed(self, version: int) -> None:
        """Note that the whole run goes on from `version`, and not from any later one.

        Raises:
            ResourceError: The disk refuses.
        """
        self._on_rank_0(lambda: self._folder.forget_cuts_after(version))

    def _refuse_another(self, position: Position) -> None:
        """Raise VersionError, on every rank, where a number was used for other weights before."""
        version = position.version
        if not as_rank_0_sees(
            self._engine, lambda: self._folder.position(version).has_come_as(position)
        ):
            raise VersionError(
                f"policy version {version} was kept before, with other steps behind it: "
                f"{self._folder.folder(version)}"
            )

    def _is_kept(self, version: int) -> bool:
        """Whether a version is on disk, as rank 0 sees it: all must do the same."""
        return as_rank_0_sees(self._engine, lambda: version in self.versions())

    def _write(self, position: Position, next_reward: int | None, *, is_cut: bool = False) -> None:
        version, engine = position.version, self._engine
        try:
            digest = on_all(engine, lambda: self._folder.write_share(version, engine.state()))
            own = torch.tensor([list(bytes.fromhex(digest))], device=engine.device)
            # The folder may appear once every rank has written: this is where they meet.
            digests = tuple(bytes(row).hex() for row in engine.gathered(own).tolist())
            self._on_rank_0(
                lambda: self._folder.complete(position, next_reward, digests, is_cut=is_cut)
            )
        except (AndonError, OSError):
            if engine.rank == 0:  # by now no rank drafts it any more
                self._folder.discard(version)
            raise

    def _on_rank_0(self, act: Callable[[], None]) -> None:
        """Have rank 0 do something; if it cannot, none goes on."""
        on_all(self._engine, lambda: act() if self._engine.rank == 0 else None)
