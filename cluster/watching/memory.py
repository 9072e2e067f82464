"""How much memory a run holds: proportional set size of all its processes together."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Self

import psutil

_PSS_LINE = "Pss:"


def proportional_bytes(pid: int) -> int:
    """Return a process's proportional set size: shared pages are split among their sharers.

    Returns 0 for a process that ended meanwhile or may not be read.
    """
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(_PSS_LINE)), 0)


def tree_bytes() -> int:
    """Return the proportional set size of this process and all its descendants."""
    here = psutil.Process()
    return sum(
        proportional_bytes(process.pid) for process in [here, *here.children(recursive=True)]
    )


class PeakMemory(threading.Thread):
    """Watches the memory of this process tree in the background, inside a `with` block.

    A reading has the system walk through all pages of all processes, each of which it holds up
    meanwhile: it was a quarter of a core of a slow machine's when it was made every 2 s.

    Args:
        interval_s: Seconds between readings at least; a peak shorter than this may be missed.
        share: Of the time, what readings may take at most.
        peak_bytes: The peak so far, of a run that goes on.
    """

    def __init__(
        self, interval_s: float = 2.0, share: float = 0.02, *, peak_bytes: int = 0
    ) -> None:
        super().__init__(name="peak-memory", daemon=True)
        self._interval_s = interval_s
        self._share = share
        self._over = threading.Event()
        self.current_bytes = 0
        self.peak_bytes = peak_bytes

    def run(self) -> None:
        """Read until the block ends."""
        pause_s = self._interval_s
        while not self._over.wait(pause_s):
            began = time.monotonic()
            self.current_bytes = tree_bytes()
            self.peak_bytes = max(self.peak_bytes, self.current_bytes)
            pause_s = max(self._interval_s, (time.monotonic() - began) / self._share)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()
