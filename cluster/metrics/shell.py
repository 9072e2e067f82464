"""The metrics hub as a Ray actor: the one process that owns the wandb run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import ray

from cluster.metrics.config import MetricsConfig
from cluster.metrics.hub import MetricsHub, open_hub
from cluster.metrics.jsonl_sink import last_rows
from cluster.metrics.names import Row
from protocol.in_order import InOrder
from protocol.remote import StartedAgain

HUB_OPTIONS = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": -1}
"""What `spawn` starts the hub with: Ray repeats the calls that a dead hub left open."""
NUM_BEFORE = 1_000
"""More rows than wait for an answer at any time."""


class MetricsShell(StartedAgain):
    """Calls a `MetricsHub`, once `open` has made it.

    Killed, it is started again, opens the same files and takes what it has not answered. Calls are
    numbered by their one sender, who also says which is the oldest it has no answer to: they are
    taken in that order, each once (`protocol.in_order`).

    Args:
        config: Which sinks.
        folder: The run's folder, on this actor's node.
        run_id: Names the run.
        run_config: The resolved config.
        began_at: Unix time from which `time/wall_s` counts.
        must_start: Whether wandb has to start, as a run begins or is resumed. In the process that
            Ray has started in the place of another it never has to.
    """

    def __init__(
        self,
        config: MetricsConfig,
        folder: str,
        run_id: str,
        run_config: Mapping[str, object],
        began_at: float,
        must_start: bool = True,
    ) -> None:
        self._config = config
        self._folder = Path(folder)
        self._run_id = run_id
        self._run_config = run_config
        self._began_at = began_at
        self._must_start = must_start and not _is_in_anothers_place()
        self._hub: MetricsHub | None = None
        self._order = InOrder()
        self._before: frozenset[frozenset[tuple[str, object]]] = frozenset()
        """The last rows in the file when it was opened: one may come again after a restart."""

    async def open(self) -> None:
        """Open all sinks; blocks until wandb has started. Call it first; again, it does nothing.

        Raises:
            ResourceError: wandb cannot be reached, the config wants it online, and it must start.
        """
        self._open()

    def _open(self) -> MetricsHub:
        if self._hub is not None:
            return self._hub
        self._before = frozenset(
            frozenset(row.items()) for row in last_rows(self._folder / "metrics.jsonl", NUM_BEFORE)
        )
        self._hub = open_hub(
            self._config,
            folder=self._folder,
            run_id=self._run_id,
            run_config=self._run_config,
            began_at=self._began_at,
            must_start=self._must_start,
        )
        return self._hub

    async def write(self, number: int, oldest: int, row: Row) -> None:
        """Write a row; does not block the sender. The same number again does nothing.

        Nor does a row that is in the file already, as one is whose answer died with the process:
        rows carry their time, so no two are alike.
        """
        async with self._order.turn(number, oldest) as is_first:
            hub = self._open()
            if is_first and frozenset(row.items()) not in self._before:
                hub.write(row)

    async def alert(self, number: int, oldest: int, title: str, text: str) -> None:
        """Send an alert. The same number again does nothing."""
        async with self._order.turn(number, oldest) as is_first:
            if is_first:
                self._open().alert(title, text)

    async def summarize(
        self, number: int, oldest: int, figures: Mapping[str, float | int | str | None]
    ) -> None:
        """Set closing figures; may be called again, the last value stands."""
        async with self._order.turn(number, oldest):
            self._open().summarize(figures)

    async def close(self, number: int, oldest: int) -> None:
        """Flush everything; blocks until the files are complete. May be called twice."""
        async with self._order.turn(number, oldest):
            self._open().close()

    async def answered(self, before: int) -> None:
        """Wait for no call before this number: the sender has its answers. Idempotent."""
        await self._order.answered(before)


def _is_in_anothers_place() -> bool:
    """Whether Ray has started this process since the one before it was gone."""
    if not ray.is_initialized():
        return False
    return bool(ray.get_runtime_context().was_current_actor_reconstructed)
