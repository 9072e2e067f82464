"""The metrics hub as a Ray actor: the one process that owns the wandb run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cluster.metrics.config import MetricsConfig
from cluster.metrics.hub import MetricsHub, open_hub
from cluster.metrics.jsonl_sink import last_rows
from cluster.metrics.names import Row
from protocol.once import Once
from protocol.remote import StartedAgain

HUB_OPTIONS = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": -1}
"""What `spawn` starts the hub with: Ray repeats the calls that a dead hub left open. They may come
in another order then; a row says when it was made."""
NUM_BEFORE = 1_000
"""More rows than wait for an answer at any time."""


class MetricsShell(StartedAgain):
    """Calls a `MetricsHub`, once `open` has made it. Calls are taken one at a time, in order.

    Killed, it is started again, opens the same files and takes what it has not answered.

    Args:
        config: Which sinks.
        folder: The run's folder, on this actor's node.
        run_id: Names the run.
        run_config: The resolved config.
        began_at: Unix time from which `time/wall_s` counts.
    """

    def __init__(
        self,
        config: MetricsConfig,
        folder: str,
        run_id: str,
        run_config: Mapping[str, object],
        began_at: float,
    ) -> None:
        self._config = config
        self._folder = Path(folder)
        self._run_id = run_id
        self._run_config = run_config
        self._began_at = began_at
        self._hub: MetricsHub | None = None
        self._taken = Once()
        self._before: frozenset[frozenset[tuple[str, object]]] = frozenset()
        """The last rows in the file when it was opened: one may come again after a restart."""

    def open(self) -> None:
        """Open all sinks; blocks until wandb has started. Call it first; again, it does nothing.

        Raises:
            ResourceError: wandb cannot be reached, and the config wants it online.
        """
        if self._hub is not None:
            return
        self._before = frozenset(
            frozenset(row.items()) for row in last_rows(self._folder / "metrics.jsonl", NUM_BEFORE)
        )
        self._hub = open_hub(
            self._config,
            folder=self._folder,
            run_id=self._run_id,
            run_config=self._run_config,
            began_at=self._began_at,
        )

    def write(self, key: str, row: Row) -> None:
        """Write a row; does not block the sender. The same key again does nothing.

        Nor does a row that is in the file already, as one is whose answer died with the process:
        rows carry their time, so no two are alike.
        """
        if key not in self._taken:
            hub = self._opened
            if frozenset(row.items()) not in self._before:
                hub.write(row)
            self._taken.add(key)

    def alert(self, key: str, title: str, text: str) -> None:
        """Send an alert. The same key again does nothing."""
        if self._taken.is_first(key):
            self._opened.alert(title, text)

    def summarize(self, figures: Mapping[str, float | int | str | None]) -> None:
        """Set closing figures; may be called again, the last value stands."""
        self._opened.summarize(figures)

    def close(self) -> None:
        """Flush everything; blocks until the files are complete. May be called twice."""
        self._opened.close()

    @property
    def _opened(self) -> MetricsHub:
        self.open()  # again, after a restart
        assert self._hub is not None, "it was opened"
        return self._hub
