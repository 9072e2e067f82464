"""The metrics hub seen from the driver: a sink like any other."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

import ray

from cluster.metrics.names import Row
from cluster.metrics.shell import MetricsShell
from protocol.errors import ActorDied
from protocol.remote import Remote, raised_as_itself

SILENT_S = 300.0
"""How long the hub may take for one row: a restart, or a wandb that starts, takes a minute."""


class RemoteSink:
    """Sends rows to a `MetricsShell` without waiting for them.

    A row that the hub refused raises at one of the next writes, or at `close`: nothing is lost in
    silence.

    Args:
        hub: Its process.
    """

    def __init__(self, hub: Remote[MetricsShell]) -> None:
        self._hub = hub
        self._numbers = itertools.count()
        self._sent: deque[tuple[int, Any]] = deque()
        """Calls without an answer yet, by number, and Ray's references to those."""

    def write(self, row: Row) -> None:
        """Send one row."""
        number, oldest = self._numbered()
        self._sent.append((number, self._hub.send(MetricsShell.write, number, oldest, dict(row))))
        self._settle()

    def alert(self, title: str, text: str) -> None:
        """Send an alert."""
        number, oldest = self._numbered()
        sent = self._hub.send(MetricsShell.alert, number, oldest, title, text)
        self._sent.append((number, sent))

    def summarize(self, figures: Mapping[str, float | int | str | None]) -> None:
        """Send closing figures."""
        number, oldest = self._numbered()
        sent = self._hub.send(MetricsShell.summarize, number, oldest, dict(figures))
        self._sent.append((number, sent))

    def settle(self) -> None:
        """Wait until the hub has everything that was sent, and has written it.

        Raises:
            ActorDied: It is gone for good, or was silent for `SILENT_S`.
        """
        give_up_at = time.monotonic() + SILENT_S
        while self._sent:
            # A hub that is new may wait for what the one before it has answered.
            self._hub.send(MetricsShell.answered, self._sent[0][0])
            if self._settle(timeout_s=1.0):
                give_up_at = time.monotonic() + SILENT_S
            elif time.monotonic() > give_up_at:
                raise ActorDied(
                    f"the run waited {SILENT_S:g} s for {self._hub.who} to write what it was sent"
                )

    def close(self) -> None:
        """Wait for everything sent, and close the hub."""
        number, oldest = self._numbered()
        self._sent.append((number, self._hub.send(MetricsShell.close, number, oldest)))
        self.settle()

    def _numbered(self) -> tuple[int, int]:
        """Return the number of the next call, and of the oldest that has no answer."""
        number = next(self._numbers)
        return number, self._sent[0][0] if self._sent else number

    def _settle(self, timeout_s: float = 0.0) -> bool:
        """Take back what the hub has answered, raise what it raised; return whether it was any."""
        has_answered = False
        while self._sent:
            done, _ = ray.wait([self._sent[0][1]], timeout=timeout_s)
            if not done:
                return has_answered
            _, answer = self._sent.popleft()
            with raised_as_itself(self._hub.who):
                ray.get(answer)
            has_answered = True
        return has_answered
