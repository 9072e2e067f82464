"""Says when the folds are written down anew, and has a process of its own do it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

from label_queue.config import LabelsConfig, Mode
from label_queue.ledger_place import LedgerPlace
from label_queue.queue import LabelQueue
from label_queue.snapshot.file import partial_of
from label_queue.snapshot.writer import Order
from protocol.logs import logger_of

LEAST_EVENTS = 5_000
"""New label events for which a snapshot is worth its while: to fold so many takes a second."""
NEW_SHARE = 0.1
"""New label events, as a share of those before, from which on another is written."""
NONE_WRITTEN = "no snapshot of the ledger's folds was written; the next start takes longer"
LOOK_EVERY_S = 30.0
"""How often is looked whether there are so many."""


class SnapshotKeeper:
    """Keeps a snapshot of a live queue's ledger. One at a time is written.

    None is written at a stop, which has other things to do in its time: what came since the last
    snapshot is folded at the next start.
    """

    def __init__(
        self,
        order: Order | None,
        num_events: Callable[[], int],
        *,
        num_kept: int,
        has_room: Callable[[], bool] = lambda: True,
    ) -> None:
        """Begin with nothing under way.

        Args:
            order: What to order; None: nothing.
            num_events: Says how many label events there are.
            num_kept: How many the snapshot has that was begun with.
            has_room: Says whether the ledger's disk takes what is not the truth.
        """
        self._order = order
        self._num_events = num_events
        self._num_tried = num_kept
        self._has_room = has_room
        self._keeping: asyncio.Task[None] | None = None
        self._log = logger_of("label_queue")

    @classmethod
    def of(
        cls,
        queue: LabelQueue,
        config: LabelsConfig,
        *,
        ledger: LedgerPlace,
        episodes: int,
        mode: Mode,
        path: Path | None,
    ) -> Self:
        """Keep one at a path; None: keep none."""
        order = None
        if path is not None:
            order = Order.of(ledger, config, episodes=episodes, mode=mode, snapshot=path)
        state = queue.state
        return cls(
            order,
            lambda: state.history.last_seq,
            num_kept=queue.num_kept,
            has_room=lambda: not state.trouble,
        )

    def start(self) -> None:
        """Begin to look, and clear away what a killed writer has left. Idempotent."""
        if self._keeping is None and self._order is not None:
            partial_of(self._order.snapshot).unlink(missing_ok=True)
            self._keeping = asyncio.create_task(self._keep(self._order))

    @property
    def is_due(self) -> bool:
        """Whether enough has come since the last one was written or tried, and there is room."""
        wanted = max(LEAST_EVENTS, NEW_SHARE * self._num_tried)
        return self._num_events() - self._num_tried >= wanted and self._has_room()

    async def keep_now(self, order: Order) -> None:
        """Have a snapshot written, and say in the log where that fails."""
        self._num_tried = self._num_events()
        try:
            writer = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "label_queue.snapshot.writer"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:  # no memory or no process to be had: the next time, maybe
            self._log.warning(NONE_WRITTEN, why=str(error))
            return
        try:
            _, said = await writer.communicate(order.model_dump_json().encode())
        except asyncio.CancelledError:
            with suppress(ProcessLookupError):
                writer.kill()
            await writer.wait()
            raise
        if writer.returncode:
            lines = said.decode(errors="replace").strip().splitlines()
            self._log.warning(
                NONE_WRITTEN,
                exit=writer.returncode,
                why=lines[-1] if lines else "",
            )

    async def close(self) -> None:
        """Stop looking, and end what is being written. Idempotent."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait([self._keeping])

    async def _keep(self, order: Order) -> None:
        while True:
            if self.is_due:
                await self.keep_now(order)
            await asyncio.sleep(LOOK_EVERY_S)
