"""A metric sink that keeps what it is given."""

from __future__ import annotations

from collections.abc import Mapping

from cluster.metrics.names import Row


class MemorySink:
    def __init__(self) -> None:
        self.rows: list[dict[str, float | int | str]] = []
        self.alerts: list[tuple[str, str]] = []
        self.summary: dict[str, float | int | str | None] = {}
        self.is_closed = False

    def write(self, row: Row) -> None:
        self.rows.append(dict(row))

    def alert(self, title: str, text: str) -> None:
        self.alerts.append((title, text))

    def summarize(self, figures: Mapping[str, float | int | str | None]) -> None:
        self.summary.update(figures)

    def close(self) -> None:
        self.is_closed = True
