"""Splitting sequences of unlike lengths into batches that stay within a token budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLimits:
    """How large one forward pass may be."""

    max_tokens: int
    """Tokens of a pass, padding included, e.g. 8192; a single longer sequence still gets a pass of
    its own."""
    max_sequences: int
    """Sequences of a pass, e.g. 128."""


def buckets(lengths: Sequence[int], limits: BatchLimits) -> list[list[int]]:
    """Split indices into batches within the limits, shortest sequences first.

    Sorting by length makes neighbours alike, so little of the budget goes to padding.
    """
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        # Lengths only rise, so this one is what the whole batch would be padded to.
        fits = batches and (len(batches[-1]) + 1) * lengths[index] <= limits.max_tokens
        if fits and len(batches[-1]) < limits.max_sequences:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches
