"""How long an event loop is held up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

TICK_S = 0.002


class LongestBlock:
    """The longest time for which an event loop ran nothing else."""

    def __init__(self) -> None:
        self.ms = 0.0

    async def watch(self) -> None:
        """Look, for ever."""
        before = time.perf_counter()
        while True:
            await asyncio.sleep(TICK_S)
            now = time.perf_counter()
            self.ms = max(self.ms, 1e3 * (now - before - TICK_S))
            before = now


class LongestStep:
    """The most CPU time that one step of an event loop took."""

    def __init__(self) -> None:
        self.ms = 0.0

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look at every step meanwhile."""
        run = asyncio.Handle._run

        def timed_run(handle: asyncio.Handle) -> None:
            started = time.thread_time()
            run(handle)
            self.ms = max(self.ms, 1e3 * (time.thread_time() - started))

        asyncio.Handle._run = timed_run  # type: ignore[assignment, method-assign]
        try:
            yield
        finally:
            asyncio.Handle._run = run  # type: ignore[method-assign]
