"""Numbered calls of one caller, taken in their order, whatever the order they come in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class InOrder:
    """Gives each call its turn, one at a time.

    For an actor whose unanswered calls are repeated when it has been started again: they come in
    any order then, and newer ones between them. A process that is new does not know what those
    before it have answered. So each call also says which is the oldest that its caller still waits
    for: all from that one on come, and none before it.
    """

    def __init__(self) -> None:
        self._next: int | None = None
        self._moved = asyncio.Condition()

    @asynccontextmanager
    async def turn(self, number: int, oldest: int) -> AsyncIterator[bool]:
        """Wait for a call's turn, which lasts as long as the block; False where it had it before.

        Args:
            number: Of the call; a caller counts up by one.
            oldest: The lowest number that the caller had no answer to when it made the call.
        """
        async with self._moved:
            self._skip(oldest)
            await self._moved.wait_for(lambda: number <= self._expected)
            if number < self._expected:
                yield False
                return
            try:
                yield True
            finally:
                self._next = number + 1
                self._moved.notify_all()

    async def answered(self, before: int) -> None:
        """Wait for no call before this number: its caller has the answers."""
        async with self._moved:
            self._skip(before)

    @property
    def _expected(self) -> int:
        assert self._next is not None, "a call came"
        return self._next

    def _skip(self, oldest: int) -> None:
        if self._next is None or oldest > self._next:
            self._next = oldest
            self._moved.notify_all()
