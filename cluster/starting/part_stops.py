"""Asks the parts of a run to stop, all at once, and waits for none of them for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from protocol.errors import PartFailed
from protocol.logs import logger_of

STOP_PART_S = 30.0
"""For a part of a run that ends by itself: what is only slow must not be taken for hung."""

_log = logger_of("session")


class PartStops:
    """What asks each part to stop. None needs another to stop first: they no longer speak.

    Args:
        limit_s: How long a part may take.
    """

    def __init__(self, limit_s: float = STOP_PART_S) -> None:
        self._limit_s = limit_s
        self._asks: list[Callable[[], Awaitable[object]]] = []

    def push_async_callback(
        self, ask: Callable[..., Awaitable[object]], *args: Any, **kwargs: Any
    ) -> None:
        """Ask so when it is time; named as in `contextlib.AsyncExitStack`."""
        self._asks.append(partial(ask, *args, **kwargs))

    async def aclose(self) -> None:
        """Ask all and wait for them; cancelled, it waits no more. Again: it does nothing.

        A part that does not answer in time, or is gone already, is said in the log: it is taken
        away next, whatever it does.

        Raises:
            ExceptionGroup: What parts raised while they stopped, once all have been asked.
        """
        asks, self._asks = self._asks, []
        ends = await asyncio.gather(*map(self._ask, asks), return_exceptions=True)
        failures = [end for end in ends if isinstance(end, Exception)]
        if failures:
            raise ExceptionGroup("parts failed while they stopped", failures)

    async def _ask(self, ask: Callable[[], Awaitable[object]]) -> None:
        try:
            async with asyncio.timeout(self._limit_s):
                await ask()
        except TimeoutError:
            _log.warning("a part did not stop in time and is killed", limit_s=self._limit_s)
        except PartFailed as error:
            _log.warning("a part was gone before it was asked to stop", error=str(error))
