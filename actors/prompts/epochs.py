"""An endless stream over a finite list: epoch after epoch, each in an order of its own."""

from __future__ import annotations

import random


class Epochs:
    """Which of a list's items stands at each position of the stream.

    Args:
        size: Items of the list; at least one.
        seed: Decides the orders.
        shuffle: Whether each epoch has an order of its own; else all have the list's.
    """

    def __init__(self, size: int, *, seed: int, shuffle: bool) -> None:
        self._size = size
        self._seed = seed
        self._shuffle = shuffle
        self._epoch = -1
        self._order: list[int] = []

    def at(self, position: int) -> tuple[int, int]:
        """Return the epoch of a position, and the index of its item in the list."""
        epoch, place = divmod(position, self._size)
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = list(range(self._size))
            if self._shuffle:
                random.Random(f"{self._seed}-{epoch}").shuffle(self._order)
        return epoch, self._order[place]
