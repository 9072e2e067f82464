"""Unix seconds by which durations are measured, though somebody sets the machine's clock meanwhile.

By a clock that is set back, a step of a minute has taken minus an hour, and its rate is without
bound. What is compared with times of other processes is read off the machine's clock as ever.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class SteadyClock:
    """What the machine's clock said when this was made, and what has passed since.

    Args:
        now: The machine's clock, Unix seconds; asked once.
        rising: Seconds since whenever, by a clock that nobody sets.
    """

    def __init__(
        self,
        now: Callable[[], float] = time.time,
        rising: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rising = rising
        self._ahead_s = now() - rising()

    def __call__(self) -> float:
        """Return the moment, Unix seconds."""
        return self._rising() + self._ahead_s
