"""How long a labeler may hold a task."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque

from label_queue.config import LeaseConfig
from label_queue.kept import kept
from label_queue.percentile import percentile_of_sorted

MIN_TIMES = 20
"""Active times needed before their 95th percentile means something."""
MOST_TIMES = 500
"""Active times remembered, the newest."""


@kept("_active_s", "_in_order")
class LeaseTerms:
    """Lease length from recent active times: clamp(3 × p95, min, max).

    Long enough for nearly everybody, short enough that a task left behind comes back soon.
    """

    def __init__(self, config: LeaseConfig) -> None:
        self._config = config
        self._active_s: deque[float] = deque()
        self._in_order: list[float] = []
        """The same times, rising: each task asks for their percentile."""

    def observe(self, active_s: float) -> None:
        """Take one label's active time in seconds."""
        self._active_s.append(active_s)
        insort(self._in_order, active_s)
        if len(self._active_s) > MOST_TIMES:
            del self._in_order[bisect_left(self._in_order, self._active_s.popleft())]

    @property
    def duration_s(self) -> float:
        """Seconds a lease lasts when given or renewed now."""
        if len(self._active_s) < MIN_TIMES:
            return self._config.first_s
        wanted = 3.0 * percentile_of_sorted(self._in_order, 0.95)
        return min(max(wanted, self._config.min_s), self._config.max_s)
