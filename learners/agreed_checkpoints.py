"""The checkpoints of a learner, as all its ranks do with them: each step of it is a collective."""

from __future__ import annotations

from pathlib import Path

import torch

from learners.checkpoint import Checkpoint, CheckpointFolder, Layout, Position
from learners.config import LearnerConfig
from learners.engine import Engine
from protocol.errors import BundleCorrupt, UserError, VersionError
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
            ResourceError: The disk refuses.
        """
        if not self._is_kept(position.version):
            self._write(position, None, is_cut=True)
            return
        self._refuse_another(position)
        if self._engine.rank == 0:
            self._folder.mark_cut(position.version)

    def keep_if_due(self, position: Position, next_reward: int) -> None:
        """Write one before a step that trains on a reward version, where the config wants one.

        Raises:
            ResourceError: The disk refuses.
        """
        is_last_before = next_reward != position.reward_version
        if not is_last_before and position.version % self._every_steps:
            return
        if not self._is_kept(position.version):
            self._write(position, next_reward if is_last_before else None)
        elif is_last_before and self._engine.rank == 0:
            self._folder.mark(position.version, next_reward)

    def read(self, version: int) -> Checkpoint:
        """Read a rank's share of a checkpoint on every rank; if one cannot, none goes on.

        Raises:
            MissingError: There is none of this version.
            BundleCorrupt: It is not what was written, on this rank or another.
        """
        checkpoint, failure = None, None
        try:
            checkpoint = self._folder.read(version)
        except (UserError, BundleCorrupt) as error:
            failure = error
        num_failed = self._summed(failure is not None)
        if failure is not None:
            raise failure
        if num_failed:
            raise BundleCorrupt(f"another rank cannot read its part of policy version {version}")
        assert checkpoint is not None, "it was read, or there was a failure"
        return checkpoint

    def resumed(self, version: int) -> None:
        """Note that the whole run goes on from `version`, and not from any later one.

        Raises:
            ResourceError: The disk refuses.
        """
        if self._engine.rank == 0:
            self._folder.forget_cuts_after(version)

    def _refuse_another(self, position: Position) -> None:
        """Raise VersionError, on every rank, where a number was used for other weights before."""
        version = position.version
        is_another = self._engine.rank == 0 and not self._folder.position(version).has_come_as(
            position
        )
        if self._summed(is_another):
            raise VersionError(
                f"policy version {version} was kept before, with other steps behind it: "
                f"{self._folder.folder(version)}"
            )

    def _is_kept(self, version: int) -> bool:
        """Whether a version is on disk, as rank 0 sees it: all must do the same."""
        return bool(self._summed(self._engine.rank == 0 and version in self.versions()))

    def _write(self, position: Position, next_reward: int | None, *, is_cut: bool = False) -> None:
        digest = self._folder.write_share(position.version, self._engine.state())
        own = torch.tensor([list(bytes.fromhex(digest))], device=self._engine.device)
        # The folder may appear once every rank has written: this is where they meet.
        digests = tuple(bytes(row).hex() for row in self._engine.gathered(own).tolist())
        if self._engine.rank == 0:
            self._folder.complete(position, next_reward, digests, is_cut=is_cut)

    def _summed(self, is_so: bool) -> int:
        """Return on how many ranks something is so."""
        return int(self._engine.summed(torch.tensor(int(is_so), device=self._engine.device)))
