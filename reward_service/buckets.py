"""Splitting sequences of unlike lengths into forward passes: little padding, and not too many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

PASS_TOKENS = 128
"""What a forward pass costs beside its tokens, in tokens. [own: a GPT-2 of 0.9 M weights on one
core; a large model on a GPU has more, and the best split hardly changes]"""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLimits:
    """How large one forward pass may be."""

    max_tokens: int
    """Tokens of a pass, padding included, e.g. 8192; a single longer sequence still gets a pass of
    its own."""
    max_sequences: int
    """Sequences of a pass, e.g. 128."""

    def rows_of(self, tokens: int) -> int:
        """Return how many sequences a pass takes at most whose longest has so many tokens."""
        return max(1, min(self.max_sequences, self.max_tokens // tokens))


def buckets(lengths: Sequence[int], limits: BatchLimits) -> list[list[int]]:
    """Split indices into passes within the limits, shortest sequences first.

    Of all splits of the sequences by length it is one whose passes cost the least together: each
    its tokens, padding included, and `PASS_TOKENS`.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    costs, starts = np.zeros(len(order) + 1, dtype=np.int64), np.zeros(len(order) + 1, dtype=int)
    for end, index in enumerate(order, start=1):
        longest = lengths[index]  # lengths only rise, so a pass that ends here is padded to it
        first = max(0, end - limits.rows_of(longest))
        through = costs[first:end] + np.arange(end - first, 0, -1) * longest + PASS_TOKENS
        starts[end] = first + through.argmin()
        costs[end] = through.min()
    passes: list[list[int]] = []
    end = len(order)
    while end:
        start = int(starts[end])
        passes.append(order[start:end])
        end = start
    return passes[::-1]
