"""Changes of mind about labels that trained, and which of them came after a fit had learned one."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable

import numpy as np

from label_queue.kept import kept


@kept("_before", "_seqs", "_labelers", "_numbers")
class Changes:
    """Labels of the training set that were changed or taken back, event by event."""

    def __init__(self) -> None:
        self._before = array("i")
        """The numbers of the events whose place was taken."""
        self._seqs = array("i")
        """The numbers of the events that took it."""
        self._labelers = array("i")
        """Who changed their mind, by their number."""
        self._numbers: dict[str, int] = {}
        """Labelers' numbers, which rise from 0."""

    def take(self, labeler_id: str, before: int, seq: int) -> None:
        """Take a change: the event of one number in the place of another's."""
        self._before.append(before)
        self._seqs.append(seq)
        self._labelers.append(self._numbers.setdefault(labeler_id, len(self._numbers)))

    def snapshot(self) -> Changes:
        """Return a copy that stays as it is."""
        copy = Changes()
        copy._before, copy._seqs = self._before[:], self._seqs[:]
        copy._labelers, copy._numbers = self._labelers[:], dict(self._numbers)
        return copy

    def late(self, fitted_at: Iterable[int]) -> dict[str, int]:
        """Return how many each labeler made after a fit had taken what they said before.

        Args:
            fitted_at: The sequence numbers that fits took their labels at, rising.
        """
        fits = np.fromiter(fitted_at, dtype=np.int64)
        if not self._seqs or not len(fits):
            return {}
        before, seqs = np.array(self._before), np.array(self._seqs)
        first = np.searchsorted(fits, before)
        """[changes], the first fit that took what was said before."""
        is_late = (first < len(fits)) & (fits[np.minimum(first, len(fits) - 1)] < seqs)
        counts = Counter(np.array(self._labelers)[is_late].tolist())
        names = tuple(self._numbers)
        return {names[number]: count for number, count in counts.items()}
