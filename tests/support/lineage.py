"""What is upstream of an artifact, as a run's folder describes it."""

from __future__ import annotations

from collections.abc import Iterable

from cluster.metrics.lineage_folder import LineageFolder


def upstream(lineage: LineageFolder, name: str) -> set[str]:
    """Return the names of all that an artifact was made of, itself among them."""
    found, at = set[str](), [name]
    while at:
        each = at.pop()
        if each not in found:
            found.add(each)
            at += lineage[each].uses
    return found


def numbers(names: Iterable[str], kind: str) -> list[int]:
    """Return the numbers of those of a kind, rising."""
    return sorted(int(name.partition("-")[2]) for name in names if name.startswith(f"{kind}-"))
