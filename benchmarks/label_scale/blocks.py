"""How long an event loop is held up."""

from __future__ import annotations

import asyncio
import time

TICK_S = 0.002


class LongestBlock:
    """The longest time for which an event loop ran nothing else, and the most CPU time of one."""

    def __init__(self) -> None:
        self.ms = 0.0
        self.cpu_ms = 0.0
        """The most CPU time of the loop's thread meanwhile, which neighbours do not lengthen."""

    async def watch(self) -> None:
        """Look, for ever."""
        before, spent_before = time.perf_counter(), time.thread_time()
        while True:
            await asyncio.sleep(TICK_S)
            now, spent = time.perf_counter(), time.thread_time()
            self.ms = max(self.ms, 1e3 * (now - before - TICK_S))
            self.cpu_ms = max(self.cpu_ms, 1e3 * (spent - spent_before))
            before, spent_before = now, spent
