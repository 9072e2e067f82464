"""The hub: takes rows of metrics and hands each to every sink, the file first.

`metrics.jsonl` is the truth; wandb, Prometheus and the report read the same rows.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.metrics.config import MetricsConfig
from cluster.metrics.grouping import group_of
from cluster.metrics.jsonl_sink import JsonlSink
from cluster.metrics.names import WALL_S, Row, checked
from protocol.logs import logger_of
from protocol.ports import MetricSink

if TYPE_CHECKING:
    from cluster.metrics.wandb_sink import WandbSink

_log = logger_of("metrics")


class MetricsHub:
    """Checks rows, stamps them with the run's wall time and writes them to its sinks, in order.

    Args:
        sinks: The JSONL sink first: what it has not taken, no other sees.
        wall_s: Returns the seconds since the run began.
    """

    def __init__(self, sinks: Sequence[MetricSink], wall_s: Callable[[], float]) -> None:
        self._sinks = tuple(sinks)
        self._wall_s = wall_s

    def write(self, row: Row) -> None:
        """Write one row; its names share one step axis, which the row carries.

        `time/wall_s` is added where it is missing, so that every row can be drawn against time.

        Raises:
            ValueError: The row does not fit the catalogue (see `names.checked`).
            NotFinite: A value is NaN or infinite.
        """
        stamped = {WALL_S: self._wall_s(), **row}
        checked(stamped)
        for sink in self._sinks:
            sink.write(stamped)

    def alert(self, title: str, text: str) -> None:
        """Call for a person: in the log, and wherever a sink can reach one."""
        _log.warning(title, detail=text)
        for sink in self._sinks:
            sink.alert(title, text)

    def summarize(self, figures: Mapping[str, float | int | str | None]) -> None:
        """Hand the run's closing figures to the sinks that keep them."""
        for sink in self._sinks:
            sink.summarize(figures)

    def close(self) -> None:
        """Close all sinks, the file last."""
        for sink in reversed(self._sinks):
            sink.close()


def open_hub(
    config: MetricsConfig,
    *,
    folder: Path,
    run_id: str,
    run_config: Mapping[str, object],
    began_at: float,
    must_start: bool = True,
    now: Callable[[], float] = time.time,
) -> MetricsHub:
    """Open the sinks the config asks for.

    Args:
        config: Which sinks.
        folder: The run's folder; `metrics.jsonl` and `wandb/` come into it.
        run_id: Names the run.
        run_config: The resolved config, shown with the wandb run.
        began_at: Unix time at which the run began; `time/wall_s` counts from it.
        must_start: Whether it is an error that wandb does not start; see `WandbSink`.
        now: The clock, Unix seconds.

    Raises:
        ResourceError: wandb cannot be reached, and the config wants it online.
    """
    sinks: list[MetricSink] = [JsonlSink(folder / "metrics.jsonl")]
    if config.wandb != "off":
        sinks.append(
            open_wandb(
                config,
                folder=folder,
                run_id=run_id,
                run_config=run_config,
                began_at=began_at,
                must_start=must_start,
            )
        )
    if config.wandb == "online":
        from cluster.metrics.workspace import save_aside

        save_aside(config.wandb_project)
    if config.prometheus:
        from cluster.metrics.ray_sink import RaySink

        sinks.append(RaySink(run_id=run_id))
    return MetricsHub(sinks, lambda: now() - began_at)


def open_wandb(
    config: MetricsConfig,
    *,
    folder: Path,
    run_id: str,
    run_config: Mapping[str, object],
    began_at: float,
    must_start: bool = True,
) -> WandbSink:
    """Open a run's run in wandb, which the config wants; arguments and errors as for `open_hub`."""
    # Imported where it is asked for: wandb takes half a second to import.
    from cluster.metrics.wandb_sink import WandbSink

    assert config.wandb != "off"
    return WandbSink(
        folder=folder,
        project=config.wandb_project,
        name=run_id,
        wandb_id=wandb_id_of(folder, run_id, began_at),
        group=group_of(run_config),
        mode=config.wandb,
        run_config=run_config,
        must_start=must_start,
    )


def wandb_id_of(folder: Path, run_id: str, began_at: float) -> str:
    """Return a run's id in wandb, which it keeps; arguments as for `open_hub`."""
    from cluster.metrics.wandb_logs import kept_id

    return kept_id(folder / "wandb") or _sweep_s() or unique_id(run_id, folder, began_at)


def _sweep_s() -> str | None:
    """Return the id that a sweep has given this run, None where none is under way."""
    return os.environ.get("WANDB_RUN_ID") if "WANDB_SWEEP_ID" in os.environ else None


def unique_id(run_id: str, folder: Path, began_at: float) -> str:
    """Return an id that no other run of a shared wandb project has, e.g. "demo-1-9f2c61d0".

    Folders of one name are common: in another checkout, or after the first was removed.
    """
    origin = f"{folder.resolve()} {began_at}"
    return f"{run_id}-{hashlib.sha256(origin.encode()).hexdigest()[:8]}"
