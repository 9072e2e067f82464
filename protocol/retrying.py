"""How long to wait before what failed is tried again.

The loop itself is tenacity's: what is tried again, and when that ends. The pause is drawn here,
because tenacity draws its own from the one generator of the process, and ours are passed in.
"""

from __future__ import annotations

import random

from tenacity import RetryCallState
from tenacity.wait import wait_base

_MAX_DOUBLINGS = 60
"""Doublings of a pause, at most: more would in the end be no float; the longest pause comes long
before."""


class NotNow(Exception):
    """What was asked may be answered in a while: raised where a retry catches it, and no further.

    Args:
        why: Said of it when it is given up, e.g. "status 503".
        retry_after_s: The least pause that the other side asks for.
    """

    def __init__(self, why: str, retry_after_s: float = 0.0) -> None:
        super().__init__(why)
        self.retry_after_s = retry_after_s


class Backoff(wait_base):
    """A pause that doubles from failure to failure, drawn anew each time so that many scatter.

    Args:
        first_s: The longest pause after the first failure.
        longest_s: The longest of all.
        rng: Draws how much of it is waited.
        least: The least part that is waited; 0 scatters most ("full jitter").
    """

    def __init__(
        self, *, first_s: float, longest_s: float, rng: random.Random, least: float = 0.5
    ) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._rng = rng
        self._least = least

    def pause_s(self, num_failures: int) -> float:
        """Return the seconds to wait after so many failures in a row, at least one."""
        doubled_s = self._first_s * 2.0 ** min(num_failures - 1, _MAX_DOUBLINGS)
        return min(self._longest_s, doubled_s) * self._rng.uniform(self._least, 1.0)

    def __call__(self, retry_state: RetryCallState) -> float:
        """Return the seconds to wait; no fewer than a NotNow asks for."""
        error = retry_state.outcome.exception() if retry_state.outcome else None
        asked_s = error.retry_after_s if isinstance(error, NotNow) else 0.0
        return max(asked_s, self.pause_s(retry_state.attempt_number))
