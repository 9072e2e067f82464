"""What came already, so that a call made twice has its effect once."""

from __future__ import annotations

from collections import OrderedDict

MOST_KEYS = 100_000
"""Remembered: a call comes again soon or never."""


class Once:
    """The keys of calls that took effect; the oldest are forgotten.

    Args:
        most: How many are remembered.
    """

    def __init__(self, most: int = MOST_KEYS) -> None:
        self._most = most
        self._keys: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def add(self, key: str) -> None:
        """Note that the call of this key took effect."""
        self._keys[key] = None
        if len(self._keys) > self._most:
            self._keys.popitem(last=False)

    def is_first(self, key: str | None) -> bool:
        """Note a key and return whether it is new; a call without one always is."""
        if key is None:
            return True
        is_new = key not in self._keys
        self.add(key)
        return is_new
