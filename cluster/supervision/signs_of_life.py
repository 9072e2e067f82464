"""Parts of which there is one, and which Ray starts again by itself: counted, and never silent.

Their callers only wait longer when one is gone. So it is here that a restart is told, and counted
against the limit of all restarts; and that a process that lives and answers nothing is ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import ray

from cluster.supervision.config import RestartsConfig
from cluster.supervision.restarts import Restarts
from protocol.errors import ActorDied
from protocol.remote import Remote, StartedAgain

INTERVAL_S = 2.0


def _start_again(part: Remote[StartedAgain]) -> None:
    ray.kill(part.handle, no_restart=False)


class SignsOfLife:
    """Asks each part every few seconds which process it is.

    Args:
        parts: Actors that Ray starts again, with the calls they left unanswered.
        restarts: How often that may be.
        config: After how long a part is taken for dead.
        start_again: Ends a part's process, so that Ray starts another.
    """

    def __init__(
        self,
        parts: Sequence[Remote[StartedAgain]],
        restarts: Restarts,
        config: RestartsConfig,
        start_again: Callable[[Remote[StartedAgain]], None] = _start_again,
    ) -> None:
        self._parts = parts
        self._restarts = restarts
        self._timeout_s = config.silence_timeout_s
        self._start_again = start_again

    async def watch(self) -> None:
        """Listen for ever.

        Raises:
            TooManyRestarts: A part was started again as often as the config allows.
        """
        async with asyncio.TaskGroup() as group:
            for part in self._parts:
                group.create_task(self._listen(part))

    async def _listen(self, part: Remote[StartedAgain]) -> None:
        known: str | None = None
        while True:
            try:
                async with asyncio.timeout(self._timeout_s):
                    incarnation = await part.ask(StartedAgain.incarnation)
            except TimeoutError:
                silent = ActorDied(f"{part.who} gave no sign of life for {self._timeout_s:g} s")
                await self._restarts.allow(part.who, silent)
                self._start_again(part)
                known = None
                continue
            if known is not None and incarnation != known:
                died = ActorDied(f"the process of {part.who} was gone")
                await self._restarts.allow(part.who, died)
            known = incarnation
            await asyncio.sleep(INTERVAL_S)
