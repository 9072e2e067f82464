"""When a process started, by a clock that nobody sets.

The kernel counts from its own start. Unix seconds are made of that by what the machine takes its
start to have been, which moves whenever somebody sets the clock: by them a process that goes on
would be taken for one that took its number later.
"""

from __future__ import annotations

import os
from pathlib import Path

import psutil

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_STARTED = 19
"""Place of `starttime` among the fields of /proc/PID/stat that follow the name, see proc(5)."""


def since_boot_s(pid: int) -> float:
    """Return when a process started, in seconds from the kernel's start.

    Raises:
        NoSuchProcess: psutil's; there is none of this number.
    """
    return _ticks(pid) / os.sysconf("SC_CLK_TCK")


def mark_of(pid: int) -> str:
    """Return what no other process has had or will have, before or after a restart of the machine.

    Raises:
        NoSuchProcess: psutil's; there is none of this number.
    """
    return f"{BOOT_ID.read_text().strip()} {pid} {_ticks(pid)}"


def is_of(mark: str, pid: int) -> bool:
    """Whether a mark is that of a process called so, whichever it was."""
    return mark.split()[1:2] == [str(pid)]


def _ticks(pid: int) -> int:
    try:
        content = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError) as error:
        raise psutil.NoSuchProcess(pid) from error
    _, _, fields = content.rpartition(b")")  # the name before may hold anything
    return int(fields.split()[_STARTED])
