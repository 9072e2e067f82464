"""How much of what people had said was already learned when the next question was drawn."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from protocol.labels import ComparisonQuery


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Of the labels received before a query was made, how many its policy had learned."""

    created_at: float
    share: float


def coverage(queries: Iterable[ComparisonQuery], since: float) -> list[Coverage]:
    """Return the coverage of each query made from `since` on, by time.

    Args:
        queries: Each carries both counts.
        since: When the first reward version came, Unix seconds; before it nothing can be learned.
    """
    made = (q for q in queries if q.created_at >= since and q.labels_before > 0)
    shares = [
        Coverage(created_at=q.created_at, share=q.learned_labels / q.labels_before) for q in made
    ]
    return sorted(shares, key=lambda each: each.created_at)
