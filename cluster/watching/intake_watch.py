"""Whether people can label: what the labelling API failed at, and whether it answers at all.

A run whose labelers get nothing but errors would wait for their labels for ever. So whoever runs it
is alarmed with the cause: in the display, in the log, and by an alert.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import httpx

from label_queue.sides.intake_failures import IntakeFailures

INTERVAL_S = 5.0
ANSWER_TIMEOUT_S = 30.0
PATIENCE_S = 60.0
"""How long the API may fail to answer before that is told: what has died is started again."""
SHOWN_S = 120.0
"""How long a failure is shown after it last happened."""
TOLD_AGAIN_S = 600.0
"""How long after it was told a failure that goes on is told once more."""
TITLE = "the labelling API fails"


class IntakeWatch:
    """Asks the labelling API every few seconds how it is.

    Args:
        failures: What the API failed at.
        http: A client of the API, as the owner.
        alert: Takes a title and a text for people.
        show: Takes what the display shall show; "" when all is well again.
        now: The clock, seconds.
    """

    def __init__(
        self,
        failures: IntakeFailures,
        http: httpx.AsyncClient,
        alert: Callable[[str, str], None],
        show: Callable[[str], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._failures = failures
        self._http = http
        self._alert = alert
        self._show = show
        self._now = now
        self._told_through = 0
        """How far the failures were taken."""
        self._answered_at = now()
        self._failed_at = float("-inf")
        self._told: dict[str, float] = {}
        """When each failure was last told."""
        self._shown = ""

    async def watch(self) -> None:
        """Look for ever. Raises ActorDied where the label queue has died."""
        while True:
            await self.look()
            await asyncio.sleep(INTERVAL_S)

    async def look(self) -> None:
        """Look once."""
        self._told_through, failures = await self._failures.take(self._told_through)
        for failure, count in failures.items():
            self._tell(f"{failure} ({count} times)" if count > 1 else failure, key=failure)
        trouble = await self._trouble()
        if trouble is None:
            self._answered_at = self._now()
        elif self._now() - self._answered_at >= PATIENCE_S:
            since_s = self._now() - self._answered_at
            self._tell(f"no answer for {since_s:.0f} s: {trouble}", key="no answer")
        if self._shown and self._now() - self._failed_at > SHOWN_S:
            self._shown = ""
            self._show("")

    async def _trouble(self) -> str | None:
        """Ask as a labeler would; return what was wrong with the answer, or None."""
        try:
            response = await self._http.get("/api/v1/run")
        except httpx.TransportError as error:
            return str(error) or type(error).__name__
        return f"status {response.status_code}" if response.is_server_error else None

    def _tell(self, text: str, key: str) -> None:
        self._failed_at = self._now()
        self._shown = f"{TITLE}: {text}"
        self._show(self._shown)
        if self._now() - self._told.get(key, float("-inf")) >= TOLD_AGAIN_S:
            self._told[key] = self._now()
            self._alert(TITLE, text)
