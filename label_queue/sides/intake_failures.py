"""What the HTTP face tells of its failures, and the run hears of them."""

from __future__ import annotations

from collections import OrderedDict

from protocol.once import Once

MOST_KINDS = 32
"""Kinds of failure remembered at once."""


class IntakeFailures:
    """Failures by what they say, and how often each happened since it was last told.

    The HTTP face adds, the run takes.
    """

    def __init__(self) -> None:
        self._untold: OrderedDict[str, int] = OrderedDict()
        self._added = Once()
        self._number = 0
        self._given: dict[str, int] = {}
        """Handed out as `_number`, and not yet known to have arrived."""

    async def add(self, failure: str, failure_id: str | None = None) -> None:
        """Count a failure; of too many kinds the oldest is forgotten.

        Idempotent by `failure_id`; without one every call counts.
        """
        if not self._added.is_first(failure_id):
            return
        self._untold[failure] = self._untold.get(failure, 0) + 1
        if len(self._untold) > MOST_KINDS:
            self._untold.popitem(last=False)

    async def take(self, told: int) -> tuple[int, dict[str, int]]:
        """Return what nobody was told of yet, oldest first, and its number.

        Args:
            told: The number of the answer that came before, 0 at first: what that one held is told
                and forgotten. The same again gets the same answer, for the first was lost.
        """
        if told == self._number:
            for failure, count in self._given.items():
                left = self._untold.get(failure, 0) - count
                self._untold.pop(failure, None)
                if left > 0:
                    self._untold[failure] = left
            self._number += 1
            self._given = dict(self._untold)
        return self._number, dict(self._given)
