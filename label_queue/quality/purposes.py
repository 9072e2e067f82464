"""What queries were asked for, without reading those that are on disk."""

from __future__ import annotations

from collections.abc import Mapping

from label_queue.shelf import Shelf, UpToNow
from protocol.labels import ComparisonQuery


def purpose_of(queries: Mapping[str, ComparisonQuery], query_id: str) -> str:
    """Return a query's purpose. Raises KeyError."""
    if isinstance(queries, Shelf | UpToNow):
        return queries.sort_of(query_id)
    return queries[query_id].purpose
