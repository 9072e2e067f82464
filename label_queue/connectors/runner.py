"""The loop that keeps one outside tool and the ledger together.

    sweep → ingest → push what is asked and not there → withdraw what nobody wants any more

It turns every `sweep_s`, or when the webhook rings. What fails is counted, shown and tried again
with growing pauses: an outside tool never ends a run.
"""

from __future__ import annotations

import asyncio
import random
import traceback
from collections.abc import Awaitable, Callable, Container
from typing import Protocol

from label_queue.connector_config import ConnectorSection, HttpSection
from label_queue.connectors.ingest import IngestCounts
from label_queue.connectors.port import Connector, OutsideTask, Sweep
from label_queue.outside import ConnectorHealth
from protocol.errors import AndonError
from protocol.logs import logger_of
from protocol.retrying import Backoff

FIRST_BACKOFF_S = 5.0
PUSH_PATIENCE_S = 300.0
"""How long a tool may take to show what was pushed; after that it is pushed again."""


class Ingest(Protocol):
    """What a runner asks of `label_queue.connectors.ingest.OutsideLabels`."""

    def tasks(self, connector: str) -> list[OutsideTask]:
        """Return the open queries as that connector's tool may see them."""
        ...

    def offset(self, connector: str) -> str | None:
        """Return how far that connector was read."""
        ...

    async def ingest(self, connector: str, sweep: Sweep) -> IngestCounts:
        """Write what a sweep brought, durable at return."""
        ...


class ConnectorRunner:
    """Runs one connector. All on one event loop."""

    def __init__(
        self,
        config: ConnectorSection,
        connector: Connector,
        labels: Ingest,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        wait: Callable[[asyncio.Event, float], Awaitable[None]],
        jitter: random.Random,
    ) -> None:
        """Stand between a connector and the labels.

        `wait` returns when the event is set or the seconds are over, whichever is first.
        """
        self.connector = connector
        self._config = config
        self._labels = labels
        self._clock = clock
        self._sleep = sleep
        self._wait = wait
        self._backoff = Backoff(
            first_s=FIRST_BACKOFF_S, longest_s=config.longest_backoff_s, rng=jitter
        )
        self._log = logger_of("connector", connector=config.name)
        self._bell = asyncio.Event()
        self._pushed: dict[str, float] = {}
        self._state = "starting"
        self.num_sweeps = 0
        """Sweeps that succeeded."""
        self.num_failures = 0
        """Sweeps that failed."""
        self._failures_in_a_row = 0
        self._last_sweep_at: float | None = None

    @property
    def health(self) -> ConnectorHealth:
        """How it stands."""
        return ConnectorHealth(
            name=self._config.name,
            state=self._state,
            last_sweep_at=self._last_sweep_at,
        )

    def ring(self) -> None:
        """Ask for a sweep as soon as may be. Many rings are one."""
        self._bell.set()

    async def run(self) -> None:
        """Turn for ever; ends only by cancellation."""
        while True:
            self._bell.clear()
            pause_s = await self.turn()
            # The bell does not cut short the pauses that spare the tool.
            spared_s = pause_s if self._failures_in_a_row else min(pause_s, self._config.ring_s)
            await self._sleep(spared_s)
            await self._wait(self._bell, pause_s - spared_s)

    async def turn(self) -> float:
        """Sweep once; return the seconds to the next sweep if nobody rings."""
        try:
            has_more = await self._sweep()
        except Exception as error:  # noqa: BLE001 -- the loop's boundary: counted and tried again
            self.num_failures += 1
            self._failures_in_a_row += 1
            # What is not ours may quote what it was given.
            why = str(error) if isinstance(error, AndonError) else type(error).__name__
            self._state = f"failing: {why}"
            pause_s = self._backoff.pause_s(self._failures_in_a_row)
            self._log.warning(
                "connector failing",
                error=self._state,
                again_in_s=round(pause_s, 1),
                # By itself: a logger that shows local variables would show the token.
                trace=None if isinstance(error, AndonError) else traceback.format_exc(),
            )
            return pause_s
        self._failures_in_a_row = 0
        self.num_sweeps += 1
        self._last_sweep_at = self._clock()
        self._state = "ok"
        return 0.0 if has_more else self._config.sweep_s

    async def _sweep(self) -> bool:
        name = self._config.name
        sweep = await self.connector.sweep(self._labels.offset(name))
        counts = await self._labels.ingest(name, sweep)
        if counts.new or counts.revised or counts.retracted or counts.refused:
            self._log.info("labels from outside", **counts.as_dict())
        tasks = self._labels.tasks(name)
        await self._push(tasks, sweep)
        await self._withdraw(tasks, sweep)
        return sweep.has_more

    async def _push(self, tasks: list[OutsideTask], sweep: Sweep) -> None:
        now = self._clock()
        if sweep.tasks is None:
            there: Container[str] = ()
            is_open = {task.query.query_id for task in tasks}
            self._pushed = {name: at for name, at in self._pushed.items() if name in is_open}
        else:
            there = sweep.tasks
            self._pushed = {
                query_id: at
                for query_id, at in self._pushed.items()
                if query_id not in there and at > now - PUSH_PATIENCE_S
            }
        fresh = [
            task
            for task in tasks
            if task.query.query_id not in there and task.query.query_id not in self._pushed
        ]
        if fresh:
            await self.connector.push(fresh)
            self._pushed.update((task.query.query_id, now) for task in fresh)

    async def _withdraw(self, tasks: list[OutsideTask], sweep: Sweep) -> None:
        """Take away tasks whose query is over, unless somebody has begun to answer."""
        if not (isinstance(self._config, HttpSection) and self._config.withdraw):
            return
        assert sweep.tasks is not None
        wanted = {task.query.query_id for task in tasks} | sweep.touched
        unwanted = [task for query_id, task in sweep.tasks.items() if query_id not in wanted]
        if unwanted:
            await self.connector.withdraw(unwanted)
