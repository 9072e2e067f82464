"""Trying again what is refused for a while: somebody who ends has it, or a server comes back."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from protocol.errors import ResourceError

T = TypeVar("T")
POLL_S = 0.2


def when_possible(
    attempt: Callable[[], T],
    timeout_s: float,
    tell: Callable[[ResourceError], None] | None = None,
) -> T:
    """Return what `attempt` does, which is made again and again while it raises ResourceError.

    Args:
        attempt: Made at least once.
        timeout_s: How long it is made again.
        tell: Hears why, once, before it is made a second time; None: nobody does.

    Raises ResourceError where it still does after `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return attempt()
        except ResourceError as error:
            if time.monotonic() >= deadline:
                raise
            if tell is not None:
                tell(error)
                tell = None
        time.sleep(POLL_S)
