"""The metrics hub as a Ray actor: the one process that owns the wandb run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cluster.metrics.config import MetricsConfig
from cluster.metrics.hub import open_hub
from cluster.metrics.names import Row


class MetricsShell:
    """Calls a `MetricsHub`, once `open` has made it. Calls are taken one at a time, in order.

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
        self._taken: set[str] = set()

    def open(self) -> None:
        """Open all sinks; blocks until wandb has started. Call it once, first.

        Raises:
            ResourceError: wandb cannot be reached, and the config wants it online.
        """
        self._hub = open_hub(
            self._config,
            folder=self._folder,
            run_id=self._run_id,
            run_config=self._run_config,
            began_at=self._began_at,
        )

    def write(self, key: str, row: Row) -> None:
        """Write a row; does not block the sender. The same key again does nothing."""
        if key not in self._taken:
            self._hub.write(row)
            self._taken.add(key)

    def alert(self, title: str, text: str) -> None:
        """Send an alert; called twice, it is sent twice."""
        self._hub.alert(title, text)

    def summarize(self, figures: Mapping[str, float | int | str | None]) -> None:
        """Set closing figures; may be called again, the last value stands."""
        self._hub.summarize(figures)

    def close(self) -> None:
        """Flush everything; blocks until the files are complete. Call it once, at the end."""
        self._hub.close()
