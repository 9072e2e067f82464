"""How often a part may be started again, and after what pause."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cluster.supervision.config import RestartsConfig
from cluster.supervision.decision import Decision, decide
from protocol.errors import PartFailed, TooManyRestarts
from protocol.retrying import Backoff

Tell = Callable[[str, PartFailed], None]
"""Told of a part that is started again, and why."""


def _tell_nobody(part: str, cause: PartFailed) -> None:
    """Do nothing: for those who ask for the counts."""


@dataclass(frozen=True, slots=True)
class _Restart:
    at: float
    cause: PartFailed


class Restarts:
    """Keeps account of every part of a run that is started again.

    Args:
        config: Limit and pauses.
        tell: Told of each restart before its pause.
        now: Seconds on a clock that never goes back.
        sleep: Waits some seconds.
        rng: Draws the pauses.
    """

    def __init__(
        self,
        config: RestartsConfig,
        tell: Tell = _tell_nobody,
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: random.Random | None = None,
    ) -> None:
        self._config = config
        self._tell = tell
        self._now = now
        self._sleep = sleep
        self._backoff = Backoff(
            first_s=config.first_pause_s,
            longest_s=config.longest_pause_s,
            rng=rng or random.Random(),
        )
        self._recent: defaultdict[str, deque[_Restart]] = defaultdict(deque)
        self.counts: Counter[str] = Counter()
        """How often each part was started again since the run began."""

    async def allow(self, part: str, error: Exception, *, is_whole: bool = False) -> None:
        """Return after a pause if a part that failed shall be started again; else raise.

        Args:
            part: Names it, e.g. "rollout actor rollout-0".
            error: Why it failed.
            is_whole: Whether the part is all of the run.

        Raises:
            TooManyRestarts: It has been started again as often as the config allows: says of what
                first, how often and of what at last.
            Exception: `error` itself, where nothing is mended by starting the part again.
        """
        recent = self._recent[part]
        while recent and recent[0].at <= self._now() - self._config.window_s:
            recent.popleft()
        decision = decide(error, [each.cause for each in recent], is_whole=is_whole)
        if decision is not Decision.REPLACE or not isinstance(error, PartFailed):
            raise error
        if not self._config.max_restarts:
            raise error
        if len(recent) >= self._config.max_restarts:
            raise self._too_often(part, error) from error
        recent.append(_Restart(self._now(), error))
        self.counts[part] += 1
        self._tell(part, error)
        await self._sleep(self._backoff.pause_s(len(recent)))

    def _too_often(self, part: str, last: PartFailed) -> TooManyRestarts:
        """Return the first cause, saying that it was not the last."""
        causes = [each.cause for each in self._recent[part]]
        of_what = Counter(type(each).__name__ for each in (*causes, last))
        told = ", ".join(f"{count}× {name}" for name, count in of_what.items())
        first = causes[0]
        return TooManyRestarts(
            f"{first}; {part} was started again {len(causes)} times within "
            f"{self._config.window_s:g} s and failed each time ({told}), at last: {last}"
        )
