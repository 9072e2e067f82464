"""The folder of a run that has ended, without a run: its checkpoints, and what its ledger says."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from cluster.guards.state import GuardsState
from cluster.loops.checkpoints import RunCheckpoint
from cluster.loops.drafting import DrafterState
from cluster.loops.staleness import BoundState
from cluster.run_folder import RunFolder
from cluster.starting.resumption import keep_reference, run_checkpoints
from label_queue.ledger.records import Record
from label_queue.ledger.sql import SqlLedger
from tests.support.labels import make_event, make_provenance, make_query


def keep_policy(root: Path, version: int) -> Path:
    """Write a version of a policy of one weight below a run's `policy` folder; return its own."""
    import torch

    from learners.checkpoint import CheckpointFolder, Layout
    from learners.config import CheckpointConfig
    from tests.support.positions import make_position

    layout = Layout(num_ranks=1, zero_stage=0, dtype="float32")
    folder = CheckpointFolder(root, CheckpointConfig(keep=1_000), layout, 0)
    digest = folder.write_share(version, {"weight/a": torch.tensor([float(version)])})
    position = make_position(version, batch_size=8, reward_version=0, learned_through=0)
    folder.complete(position, None, (digest,))
    return folder.folder(version)


class KeptRun:
    """A run's folder with a ledger in it.

    Args:
        path: Where it is made.
        num_labels: That people gave.
    """

    def __init__(self, path: Path, num_labels: int = 0) -> None:
        self.folder = RunFolder.create(path)
        self.folder.update_state(run_id=path.name, started_at=0.0, state="stopped")
        keep_reference(self.folder, [])
        query = make_query(1)
        self.write([make_event(query, f"labeler-{number}") for number in range(num_labels)])

    def write(self, records: Sequence[Record]) -> None:
        """Append records to its ledger."""
        with closing(SqlLedger.open(self.folder.ledger, self.folder.run_id)) as ledger:
            ledger.write(records)

    def keep(self, version: int, *, is_told: bool = True, learned_through: int = 0) -> None:
        """Keep a checkpoint, and tell of its version or not; its reward learned so many labels."""
        keep_policy(self.folder.policies, version)
        checkpoint = RunCheckpoint(
            policy_version=version,
            episodes=8 * version,
            bound=BoundState(version=version),
            drafter=DrafterState(),
            num_prompts=0,
            guards=GuardsState(),
            least_reward_version=0,
            ledger_seq_of_reward={1: learned_through} if learned_through else {},
            num_unscored=0,
        )
        run_checkpoints(self.folder).write(checkpoint)
        if is_told:
            self.write([make_provenance(version)])
