"""Waking whoever waits for a change."""

from __future__ import annotations

import asyncio


class Change:
    """A broadcast: `wait` returns at the next `notify`, or when the time is up.

    Check the condition, then wait, without an `await` between: no change can be missed.
    """

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.count = 0
        """Changes so far: tells whether there was one since somebody looked."""

    def notify(self) -> None:
        """Wake everybody who waits now."""
        self.count += 1
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, timeout_s: float | None = None) -> None:
        """Return at the next change, or after `timeout_s` seconds.

        Cancelled, it is cancelled, also where a change comes at the same moment: Python 3.11's
        `asyncio.wait_for` would forget it then.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        except TimeoutError:
            return
