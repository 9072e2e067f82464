"""The label queue as a process of its own: one actor that owns the ledger."""

from __future__ import annotations

from pathlib import Path

from label_queue.config import LabelsConfig, Mode
from label_queue.intake.failures import IntakeFailures
from label_queue.labeling.guidelines import read_guidelines
from label_queue.ledger.sql import SqlLedger
from label_queue.queue import LabelQueue
from label_queue.schedule import LabelSchedule

QUEUE_OPTIONS = {"num_cpus": 0, "max_concurrency": 2_000}
"""What `spawn` starts the queue with: calls that wait cost nothing but a place among these."""


class LabelQueueShell(LabelQueue):
    """The label queue as one async Ray actor, sole owner of the ledger.

    Waiting calls cost nothing but a place among the concurrent ones.
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
        ledger cannot be opened, MissingError where the guidelines are not there.
        """
        super().__init__(
            SqlLedger.open(Path(ledger_path), run_id),
            config,
            LabelSchedule.of(config, num_episodes=episodes, mode=mode),
            run_id=run_id,
            seed=seed,
            guidelines=read_guidelines(config.guidelines),
        )
        self._intake_failures = IntakeFailures()

    async def intake_failed(self, failure: str) -> None:
        """Take note of a request that the HTTP face could not answer. Called twice, it counts."""
        self._intake_failures.add(failure)

    async def intake_failures(self) -> dict[str, int]:
        """Return the failures since the last call, and how often each happened."""
        return self._intake_failures.take()
