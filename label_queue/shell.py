"""The label queue as a process of its own: one actor that owns the ledger, and its sides."""

from __future__ import annotations

from pathlib import Path

from label_queue.config import LabelsConfig, Mode
from label_queue.connectors.outposts import Outposts
from label_queue.labeling.guidelines import read_guidelines
from label_queue.ledger.sql import SqlLedger
from label_queue.queue import LabelQueue
from label_queue.schedule import LabelSchedule
from label_queue.sides.intake_failures import IntakeFailures
from label_queue.sides.owner import OwnerSide
from label_queue.sides.people import PeopleSide
from label_queue.sides.policy_loop import PolicyLoopSide
from protocol.remote import Remote, Sides, side_of

QUEUE_OPTIONS = {"num_cpus": 0, "max_concurrency": 2_000}
"""What `spawn` starts the queue with: calls that wait cost nothing but a place among these."""


class LabelQueueShell(Sides):
    """The label queue, and the outside tools that feed it, as one async Ray actor.

    Sole owner of the ledger. Asked by `side_of(remote, PolicyLoopSide)` and so on.
    """

    def __init__(
        self,
        config: LabelsConfig,
        *,
        run_id: str,
        ledger_path: str,
        episodes: int,
        mode: Mode,
        seed: int,
    ) -> None:
        """Open or make the run's ledger.

        `episodes` is N_π, those of the whole run. Raises ResourceError or InputError where the
        ledger cannot be opened, MissingError where the guidelines are not there, ConfigError where
        the secret of an outside tool is not.
        """
        self._queue = LabelQueue(
            SqlLedger.open(Path(ledger_path), run_id),
            config,
            LabelSchedule.of(config, num_episodes=episodes, mode=mode),
            run_id=run_id,
            seed=seed,
            guidelines=read_guidelines(config.guidelines),
        )
        self._outposts = Outposts.of(self._queue, config, run_id=run_id)
        super().__init__(
            self._queue.policy_loop,
            self._queue.people,
            self._queue.owner,
            self._outposts,
            IntakeFailures(),
        )

    async def start_connectors(self) -> None:
        """Begin to read the outside tools. Idempotent."""
        self._outposts.start()

    async def close(self) -> None:
        """Let go of the tools and the ledger; nothing more is taken in. Idempotent."""
        await self._outposts.close()
        await self._queue.close()


class RemoteLabelQueue:
    """The label queue in its own process: its sides, as if they were here.

    Args:
        process: Started by `spawn(LabelQueueShell, …)`.
    """

    def __init__(self, process: Remote[LabelQueueShell]) -> None:
        self.policy_loop = side_of(process, PolicyLoopSide)
        self.people = side_of(process, PeopleSide)
        self.owner = side_of(process, OwnerSide)
        self.intake_failures = side_of(process, IntakeFailures)
