"""CPU that this process and the servers it started take, by name."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import psutil


class CpuTimes:
    """CPU seconds of this process and the servers, from now on."""

    def __init__(self) -> None:
        self._start = self._read()

    def seconds(self) -> list[tuple[str, float]]:
        """Return what each process took since the start, the busiest first."""
        now = self._read()
        taken = [
            (name, cpu_s - self._start[pid][1])
            for pid, (name, cpu_s) in now.items()
            if pid in self._start
        ]
        return sorted(taken, key=lambda each: -each[1])

    def shares(self, elapsed_s: float) -> list[tuple[str, float]]:
        """Return the share of a core each process took since the start, the busiest first."""
        return [(name, cpu_s / elapsed_s) for name, cpu_s in self.seconds()]

    @staticmethod
    def _read() -> dict[int, tuple[str, float]]:
        own = psutil.Process()
        processes: Iterable[psutil.Process] = [own, *own.children(recursive=True)]
        found = {}
        for process in processes:
            with suppress(psutil.NoSuchProcess):  # it ended meanwhile
                times = process.cpu_times()
                name = "this process" if process == own else process.name()
                found[process.pid] = name, times.user + times.system
        return found
