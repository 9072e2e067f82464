"""What the HTTP face tells of its failures, and the run hears of them."""

from __future__ import annotations

from collections import OrderedDict

MOST_KINDS = 32
"""Kinds of failure remembered at once."""


class IntakeFailures:
    """Failures by what they say, and how often each happened since it was last told.

    The HTTP face adds, the run takes.
    """

    def __init__(self) -> None:
        self._untold: OrderedDict[str, int] = OrderedDict()

    async def add(self, failure: str) -> None:
        """Count a failure; of too many kinds the oldest is forgotten. Twice counts twice."""
        self._untold[failure] = self._untold.get(failure, 0) + 1
        if len(self._untold) > MOST_KINDS:
            self._untold.popitem(last=False)

    async def take(self) -> dict[str, int]:
        """Return what nobody was told of yet, oldest first, as told from now on."""
        taken = dict(self._untold)
        self._untold.clear()
        return taken
