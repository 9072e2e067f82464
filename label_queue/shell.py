"""The label queue as a process of its own: one actor that owns the ledger, and its sides."""

from __future__ import annotations

import gc
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from label_queue.config import LabelsConfig, Mode
from label_queue.connectors.outposts import Outposts
from label_queue.fitting.weighing_process import WeighingProcess
from label_queue.labeling.guidelines import read_guidelines
from label_queue.ledger.opening import open_when_free
from label_queue.ledger_place import LedgerPlace
from label_queue.queue import LabelQueue
from label_queue.schedule import LabelSchedule
from label_queue.sides.intake_failures import IntakeFailures
from label_queue.sides.owner import OwnerSide
from label_queue.sides.people import PeopleSide
from label_queue.sides.policy_loop import PolicyLoopSide
from label_queue.snapshot_keeper import SnapshotKeeper
from protocol.logs import logger_of
from protocol.messages import Rollout
from protocol.remote import Remote, Sides, side_of

_log = logger_of("label_queue")
T = TypeVar("T")
R = TypeVar("R")

QUEUE_OPTIONS = {
    "num_cpus": 0,
    # Calls that wait cost nothing but a place among these.
    "max_concurrency": 2_000,
    # What a second call does is said for every method (tests/unit/twice), so Ray may repeat those
    # that a dead queue left unanswered: who waits only waits longer.
    "max_restarts": -1,
    "max_task_retries": -1,
}
"""What `spawn` starts the queue with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recollection:
    """What the queue was told and the ledger does not hold; a restarted queue is told again."""

    reference: tuple[Rollout, ...] = ()
    """Samples of ρ, for validation queries."""
    first_samples: tuple[tuple[int, float], ...] = ()
    """(policy version, when it was first sampled, Unix seconds)."""


def recall_nothing() -> Recollection:
    """Return nothing: for a queue whose run keeps nothing."""
    return Recollection()


class LabelQueueShell(Sides):
    """The label queue, and the outside tools that feed it, as one async Ray actor.

    Sole owner of the ledger. Asked by `side_of(remote, PolicyLoopSide)` and so on.
    """

    def __init__(
        self,
        config: LabelsConfig,
        *,
        run_id: str,
        ledger: LedgerPlace,
        episodes: int,
        mode: Mode,
        seed: int,
        recall: Callable[[], Recollection] = recall_nothing,
        snapshot: Path | None = None,
    ) -> None:
        """Open or make the run's ledger, a file or on a server.

        `episodes` is N_π, those of the whole run; `recall` reads what else is to be known, and is
        called at every start; `snapshot` is where to keep one of the folds; None:
        nowhere. Raises ResourceError or InputError where the
        ledger cannot be opened, MissingError where the guidelines are not there, ConfigError where
        the secret of an outside tool is not.
        """
        self._queue = LabelQueue(
            # Ray makes an actor whose constructor raised no second time.
            open_when_free(ledger, run_id),
            config,
            LabelSchedule.of(config, num_episodes=episodes, mode=mode),
            run_id=run_id,
            seed=seed,
            guidelines=read_guidelines(config.guidelines),
            # What the folds hold stays: to go through it for garbage would stop the event loop for
            # as long as there are labels, each time.
            settle=gc.freeze,
            snapshot=snapshot,
            weigher=WeighingProcess(ledger),
            left_behind=_end_process,
        )
        recollection = recall()
        self._queue.take_in(recollection.reference, recollection.first_samples)
        self._keeper = SnapshotKeeper.of(
            self._queue,
            config,
            ledger=ledger,
            episodes=episodes,
            mode=mode,
            path=snapshot,
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
        self._start()

    def _start(self) -> None:
        self._outposts.start()
        self._keeper.start()

    async def on_side(
        self, side: type[T], method: Callable[..., Awaitable[R]], args: Any, kwargs: Any
    ) -> R:
        """See `Sides`; whoever asks first after a restart has the outside tools read again."""
        if not self._queue.state.is_closed:
            self._start()
        return await super().on_side(side, method, args, kwargs)

    async def close(self) -> None:
        """Let go of the tools and the ledger; nothing more is taken in. Idempotent."""
        await self._keeper.close()
        await self._outposts.close()
        await self._queue.close()


def _end_process(error: Exception) -> None:
    """End a process whose state is behind its ledger, so that Ray starts another from it."""
    _log.error("what was written could not be taken in: the label queue ends", exc_info=error)
    os._exit(1)


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
