"""Prometheus, through Ray's metrics agent: the latest value of each name, as a gauge."""

from __future__ import annotations

from collections.abc import Mapping

from ray.util.metrics import Gauge

from cluster.metrics.names import CATALOGUE, Row


class RaySink:
    """Sets one gauge a name; `policy/loss` becomes `andon_policy_loss`.

    Args:
        run_id: The value of the gauges' one tag, `run`.
    """

    def __init__(self, *, run_id: str) -> None:
        self._tags = {"run": run_id}
        self._gauges: dict[str, Gauge] = {}

    def write(self, row: Row) -> None:
        """Set the gauges of one row."""
        for name, value in row.items():
            if name not in self._gauges:
                # The catalogue's own words are not ASCII, which Ray insists on here.
                self._gauges[name] = Gauge(
                    gauge_name(name),
                    description=f"{name} [{CATALOGUE[name].unit}]",
                    tag_keys=("run",),
                )
            self._gauges[name].set(float(value), tags=self._tags)

    def alert(self, title: str, text: str) -> None:
        """Do nothing: alert rules live in Prometheus."""

    def summarize(self, figures: Mapping[str, float | int | str | None]) -> None:
        """Do nothing: a scraped series has no end."""

    def close(self) -> None:
        """Let go of the gauges; Ray exports their last value until the process ends."""
        self._gauges.clear()


def gauge_name(name: str) -> str:
    """Return a metric's name as Prometheus allows it: no "/"."""
    return "andon_" + name.replace("/", "_")


def exported_name(name: str) -> str:
    """Return the name under which Prometheus finds a metric: Ray's prefix comes before all."""
    return "ray_" + gauge_name(name)
