"""Measures of systems: kept in a file of results, averaged over seeds, and told as a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from statistics import fmean
from typing import Any, Self, TypeVar

from label_queue.simulated.choice import choice_probabilities
from label_queue.simulated.config import LabelerProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptMeasures:
    """Numbers by name, each of which may be averaged."""

    @classmethod
    def kept(cls, result: Mapping[str, Any]) -> Self:
        """Return measures as a file of results has them."""
        return cls(**{each.name: result[each.name] for each in fields(cls)})

    def to_keep(self) -> dict[str, float]:
        """Return them for a file of results."""
        return {each.name: round(getattr(self, each.name), 4) for each in fields(self)}


M = TypeVar("M", bound=KeptMeasures)


def mean_of(measured: Sequence[M]) -> M:
    """Return the mean of measures over seeds."""
    rows = [each.to_keep() for each in measured]
    return type(measured[0]).kept({name: fmean(row[name] for row in rows) for name in rows[0]})


def table(
    columns: Mapping[str, Callable[[M], str]], systems: Mapping[str, Sequence[M]], what: str
) -> str:
    """Return a Markdown table of systems, means over their seeds.

    Args:
        columns: What is shown, by the column's name.
        systems: Measures of each system, one a seed.
        what: The systems' own column.
    """
    lines = [f"| {what} | {' | '.join(columns)} |", f"| --- |{' ---: |' * len(columns)}"]
    for name, measured in systems.items():
        mean = mean_of(measured)
        lines.append(f"| {name} | {' | '.join(show(mean) for show in columns.values())} |")
    return "\n".join(lines)


def preference(gold: float, other: float, profile: LabelerProfile) -> float:
    """Return how likely a labeler chooses the first of two responses, whichever is shown first."""
    first, _ = choice_probabilities([gold, other], profile)
    _, second = choice_probabilities([other, gold], profile)
    return (first + second) / 2
