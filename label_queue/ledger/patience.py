"""Trying again what is refused for a while: somebody who ends has it, or a server comes back."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from protocol.errors import ResourceError

T = TypeVar("T")
POLL_S = 0.2


def when_possible(attempt: Callable[[], T], timeout_s: float) -> T:
    """Return what `attempt` does, which is made again and again while it raises ResourceError.

    Raises ResourceError where it still does after `timeout_s`. At least one attempt is made.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return attempt()
        except ResourceError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(POLL_S)
