"""Whether there is room for what the ledger has still to take, and what to say where there is not.

Labels are small and cannot be had again; what training writes is large and can. So no step is taken
long before the disk is full, and labels go on being stored for as long as the disk takes them.
"""

from __future__ import annotations

import time
from collections.abc import Callable

REFUSED_FOR_S = 5.0
"""How long a refusal counts, whatever the disk says is free: a quota may be full before it is."""


class DiskRoom:
    """What is known of the room under a ledger.

    Args:
        free_bytes: Asks the disk.
        reserve_bytes: Free, below which there is no room for training.
        where: Names the disk to people.
        now: Seconds, rising.
    """

    def __init__(
        self,
        free_bytes: Callable[[], float],
        reserve_bytes: int,
        where: str,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._free_bytes = free_bytes
        self._reserve_bytes = reserve_bytes
        self._where = where
        self._now = now
        self._refused_at = float("-inf")

    def refused(self) -> None:
        """The disk refused a commit for want of room."""
        self._refused_at = self._now()

    def stored(self) -> None:
        """The disk took a commit."""
        self._refused_at = float("-inf")

    def want(self) -> str:
        """Return what people must do, in words that stay the same meanwhile; "" where all is well.

        May be called as often as one likes.
        """
        is_refused = self._now() - self._refused_at < REFUSED_FOR_S
        if not is_refused and self._free_bytes() >= self._reserve_bytes:
            return ""
        wanted = f"{self._reserve_bytes / 1e6:.0f} MB"
        return (
            f"the disk of {self._where} is full: no step is taken until {wanted} are free there, "
            "and labels may be refused; free space on it, and the run goes on by itself"
        )
