"""Sets of ledger sequence numbers, written as ranges: short where most numbers are in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

SeqRanges = tuple[tuple[int, int], ...]
"""(first, last) of each range, both in it; rising, and never touching: ((1, 8), (11, 11))."""


def as_ranges(seqs: Iterable[int]) -> SeqRanges:
    """Return numbers as ranges, whatever their order; one that is named twice counts once."""
    rising = sorted(set(seqs))
    ends = [before for before, after in pairwise(rising) if after != before + 1]
    starts = [after for before, after in pairwise(rising) if after != before + 1]
    return tuple(zip(rising[:1] + starts, ends + rising[-1:], strict=True))


def numbers_in(ranges: SeqRanges) -> Iterator[int]:
    """Yield the numbers that ranges hold, rising."""
    for first, last in ranges:
        yield from range(first, last + 1)
