"""A checkpoint of a run: one consistent cut between two steps, and its files.

    policy/v000040/            the learner's part: weights, optimizer, random states (learners/)
    checkpoints/v000040.json   all else that the controller holds, and which version it belongs to

The learner's part is written first, so a file here is never without it. A file appears whole or not
at all: its first line holds the digest of the second. What the label side knows is in the ledger,
which never goes back, and is no part of a cut.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from cluster.guards.state import GuardsState
from cluster.loops.drafting import DrafterState
from cluster.loops.staleness import BoundState
from protocol.errors import BundleCorrupt, MissingError
from protocol.files import LOOK_INTO, flush, is_folder, listed, reading, writing
from protocol.text_tree import TreesState

FORMAT = 1
MEND_DISK = "see to the disk of the run's folder"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCheckpoint:
    """What a run goes on from, beside the learner's own checkpoint of the same version."""

    policy_version: int
    episodes: int
    """Episodes trained, the run's clock."""
    bound: BoundState
    """The rollouts under way, each in its state."""
    drafter: DrafterState
    num_prompts: int
    """Prompts of the training stream that were drawn; those not trained on are in `bound`."""
    guards: GuardsState
    least_reward_version: int
    """Nothing that an older reward version scored may be trained on."""
    ledger_seq_of_reward: dict[int, int]
    """Sequence number up to which each reward version learned the ledger."""
    num_unscored: int
    """Rollouts dropped for want of a score since the start."""
    trees: TreesState | None = None
    """How far the training stream is, where its prompts are made of responses."""


_CHECKPOINT = TypeAdapter(RunCheckpoint)


class RunCheckpoints:
    """The folder of a run's checkpoints.

    Args:
        folder: `checkpoints/` of the run.
        policies: `policy/` of the run, where the learner's parts lie.
        every_steps: Versions between two checkpoints.
        settle: Returns when the metrics written so far can no longer be lost with this process.
    """

    def __init__(
        self,
        folder: Path,
        policies: Path,
        *,
        every_steps: int = 1,
        settle: Callable[[], None] = lambda: None,
    ) -> None:
        self._folder = folder
        self._policies = policies
        self._every_steps = every_steps
        self._settle = settle

    def is_due(self, version: int) -> bool:
        """Whether a version, just made, is one of those kept."""
        return version % self._every_steps == 0

    def versions(self) -> tuple[int, ...]:
        """Return the policy versions that a run can go on from, oldest first."""
        return tuple(each for each in sorted(self._found()) if self._has_policy(each))

    def write(self, checkpoint: RunCheckpoint) -> None:
        """Write a checkpoint, whose learner's part is there; the same version again replaces it.

        Raises:
            DiskFull: There is no room for it; the one before stands.
            ResourceError: The disk refuses otherwise.
        """
        self._settle()
        content = _CHECKPOINT.dump_json(checkpoint)
        head = json.dumps({"format": FORMAT, "sha256": hashlib.sha256(content).hexdigest()})
        path = self._path(checkpoint.policy_version)
        draft = path.with_name(f".draft-{path.name}")
        with writing(path, MEND_DISK):
            self._folder.mkdir(exist_ok=True)
            with draft.open("wb") as file:
                file.write(head.encode() + b"\n" + content + b"\n")
                file.flush()
                os.fsync(file.fileno())
            draft.rename(path)
            flush(self._folder)
        self._retire()

    def read(self, version: int) -> RunCheckpoint:
        """Return a checkpoint, proved against its digest.

        Raises:
            MissingError: There is none of this version, or the learner's part of it is gone.
            BundleCorrupt: It is not what was written, or of a newer format; names the one before.
            ResourceError: It may not be read.
        """
        path = self._path(version)
        # One whose run died before it could remove it stands without the learner's part.
        if not path.is_file() or not self._has_policy(version):
            known = ", ".join(map(str, self.versions())) or "none"
            raise MissingError(f"no checkpoint of version {version}; there are: {known}")
        with reading(path, "checkpoint", LOOK_INTO):
            written = path.read_bytes()
        head, _, content = written.partition(b"\n")
        try:
            said = json.loads(head)
            found_format, digest = int(said["format"]), str(said["sha256"])
        except (ValueError, LookupError, TypeError) as error:
            raise self.corrupt(version, f"{path} is garbled") from error
        if found_format > FORMAT:
            raise BundleCorrupt(
                f"{path} has format {found_format}, and this Andon reads up to {FORMAT}: go on "
                "with the version that the run's run.json names as versions.andon"
            )
        content = content.removesuffix(b"\n")
        if hashlib.sha256(content).hexdigest() != digest:
            raise self.corrupt(version, f"{path} is not what was written: its digest differs")
        try:
            return _CHECKPOINT.validate_json(content)
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            place = ".".join(map(str, problem["loc"]))
            raise self.corrupt(version, f"{path}: {place}: {problem['msg']}") from error

    def set_aside(self, version: int, place: Path) -> None:
        """Move what is of later versions than one to another folder: the run goes on without it.

        The newest goes first: a run that is killed meanwhile has all up to the newest that is left.

        Raises:
            ResourceError: The disk refuses.
        """
        later = self._found()
        with writing(place, MEND_DISK):
            for each in sorted(later, reverse=True):
                if each > version:
                    place.mkdir(parents=True, exist_ok=True)
                    later[each].replace(place / later[each].name)
                    flush(place)
                    flush(self._folder)

    def corrupt(self, version: int, problem: str) -> BundleCorrupt:
        """Return the error of a checkpoint that cannot be read, which offers the one before."""
        before = [each for each in self.versions() if each < version]
        mend = (
            f"`andon resume RUN --from {before[-1]}` goes on from the checkpoint before it"
            if before
            else "there is none before it"
        )
        return BundleCorrupt(f"{problem}; {mend}")

    def _path(self, version: int) -> Path:
        return self._folder / f"v{version:06d}.json"

    def _policy(self, version: int) -> Path:
        return self._policies / f"v{version:06d}"

    def _retire(self) -> None:
        """Remove the files whose learner's part is gone: the learner decides how many stay."""
        for version, path in self._found().items():
            if not self._has_policy(version):
                with writing(path, MEND_DISK):
                    path.unlink()

    def _found(self) -> dict[int, Path]:
        """Return the files there are, by version."""
        return checkpoint_files(self._folder)

    def _has_policy(self, version: int) -> bool:
        return is_folder(self._policy(version), "the learner's part of a checkpoint", LOOK_INTO)


def checkpoint_files(folder: Path) -> dict[int, Path]:
    """Return the files of checkpoints in a folder, by version; a folder that is not there has none.

    Raises ResourceError where it may not be looked into.
    """
    files = listed(folder, "the run's checkpoints", LOOK_INTO)
    return {int(path.stem[1:]): path for path in files if re.fullmatch(r"v\d+\.json", path.name)}
