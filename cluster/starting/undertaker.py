"""Cleans up behind a driver that was killed: a process of its own that sleeps until then.

A driver that ends as it should leaves nothing. One that is killed can do nothing any more, and what
it started is not all told by the kernel: Ray's agents call for a minute before they give up, and a
process that was stopped never hears of it. So the driver tells this process, through a pipe, what
is its own; when the pipe closes, for whatever reason, that ends.
On a cluster that was there before, that is the run's application in the Serve that runs share.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import IO

import psutil

from cluster.process_start import since_boot_s

GRACE_S = 2.0
"""For what ends by itself when its node is gone, the label queue's last commit among it."""
KILL_S = 10.0
"""For the kernel to end what was killed."""
POLL_S = 0.1
SHARE = "cluster.starting.serve_share"
"""The module that ends a killed run's part in a cluster's Serve."""
SHARE_S = 600.0
"""For the cluster to see that its driver is gone, and for other runs that come or go just then."""


class Undertaker:
    """The driver's end.

    It may be killed itself: the run goes on, and nobody cleans up if the driver is killed too.
    """

    def __init__(self) -> None:
        # A session of its own: what ends the driver's process group must not end this.
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def mind_session(self, leader: int) -> None:
        """End, some day, every process of the session of that leader, which runs and is ours."""
        self._tell({"session": leader, "began_at_s": since_boot_s(leader)})

    def mind_share(self, address: str, run_id: str) -> None:
        """Remove, some day, a run's part in the Serve of the Ray cluster at an address."""
        self._tell({"share": [address, run_id]})

    def forget_share(self) -> None:
        """Do not: the run has left by itself."""
        self._tell({"share": None})

    def close(self, timeout_s: float = GRACE_S + KILL_S) -> None:
        """Let it do its work now, and wait for it. May be called twice."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _tell(self, line: Mapping[str, object]) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(line).encode() + b"\n")
            self._process.stdin.flush()


def members(sessions: Mapping[int, float]) -> list[psutil.Process]:
    """Return the living processes of some sessions.

    Args:
        sessions: When each began, in seconds from the kernel's start, by its leader's pid. While a
            process of it lives, the kernel gives the number to no other; what is older than it is
            not of it.
    """
    found = []
    for process in psutil.process_iter():
        # A process may end, or be another user's.
        with suppress(psutil.Error, OSError):
            began_at_s = sessions.get(os.getsid(process.pid))
            if began_at_s is None or since_boot_s(process.pid) < began_at_s:
                continue
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def end(sessions: Mapping[int, float]) -> None:
    """End every process of some sessions: by itself for a while, then by force."""
    patient_until = time.monotonic() + GRACE_S
    while members(sessions) and time.monotonic() < patient_until:
        time.sleep(POLL_S)
    give_up_at = time.monotonic() + KILL_S
    while (left := members(sessions)) and time.monotonic() < give_up_at:
        for process in left:  # again and again: one may have started another meanwhile
            with suppress(psutil.Error):
                process.kill()
        time.sleep(POLL_S)


def work(lines: Iterable[str]) -> None:
    """Read what there is to mind until the driver is gone, then end it."""
    sessions: dict[int, float] = {}
    share: list[str] | None = None
    for line in lines:
        told = json.loads(line)
        if "session" in told:
            sessions[told["session"]] = told["began_at_s"]
        else:
            share = told["share"]
    end(sessions)
    if share is not None:
        # A process of its own, for this one does without Ray. The next run on the cluster does the
        # same, so nothing is lost where this comes to nothing.
        subprocess.run([sys.executable, "-m", SHARE, *share], timeout=SHARE_S, check=False)


def _whole_lines(stream: IO[str]) -> Iterable[str]:
    """Yield lines; not the last one where the driver was killed while it wrote it."""
    return (line for line in stream if line.endswith("\n"))


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    work(_whole_lines(sys.stdin))
