"""A sink that keeps what it is given: for tests, and for parts that run alone."""

from __future__ import annotations

from collections.abc import Mapping

from cluster.metrics.names import Row


class MemorySink:
    """Keeps rows, alerts and the summary in lists."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float | int | str]] = []
        self.alerts: list[tuple[str, str]] = []
        self.summary: dict[str, float | int | str | None] = {}
        self.is_closed = False

    def write(self, row: Row) -> None:
        """Keep one row."""
        self.rows.append(dict(row))

    def alert(self, title: str, text: str) -> None:
        """Keep an alert."""
        self.alerts.append((title, text))

    def summarize(self, figures: Mapping[str, float | int | str | None]) -> None:
        """Keep the closing figures."""
        self.summary.update(figures)

    def close(self) -> None:
        """Remember that it was closed."""
        self.is_closed = True
