"""The metrics hub seen from the driver: a sink like any other."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Concatenate, ParamSpec

import ray

from cluster.metrics.names import Row
from cluster.metrics.shell import MetricsShell
from protocol.errors import ActorDied
from protocol.remote import Remote, raised_as_itself

P = ParamSpec("P")

SILENT_S = 300.0
"""How long the hub may take for one row: a restart, or a wandb that starts, takes a minute."""


class RemoteSink:
    """Sends rows to a `MetricsShell` without waiting for them.

    A row that the hub refused raises at its own write, where the answer is there by then, at a
    later one, or at `close`: nothing is lost in silence.

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
        self._send(MetricsShell.write, dict(row))
        self._settle()

    def alert(self, title: str, text: str) -> None:
        """Send an alert."""
        self._send(MetricsShell.alert, title, text)

    def summarize(self, figures: Mapping[str, float | int | str | None]) -> None:
        """Send closing figures."""
        self._send(MetricsShell.summarize, dict(figures))

    def settle(self) -> None:
        """Wait until the hub has everything that was sent, and has written it.

        Raises:
            ActorDied: It is gone for good, or was silent for `SILENT_S`.
        """
        give_up_at = time.monotonic() + SILENT_S
        while self._sent:
            if self._settle(timeout_s=1.0):
                give_up_at = time.monotonic() + SILENT_S
            elif time.monotonic() > give_up_at:
                raise ActorDied(
                    f"the run waited {SILENT_S:g} s for {self._hub.who} to write what it was sent"
                )
            else:  # a hub that is new may wait for what the one before it has answered
                self._hub.send(MetricsShell.answered, self._sent[0][0])

    def close(self) -> None:
        """Wait for everything sent, and close the hub."""
        self._send(MetricsShell.close)
        self.settle()

    def _send(
        self,
        method: Callable[Concatenate[MetricsShell, int, int, P], object],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """Make the next call, saying which is the oldest that has no answer."""
        number = next(self._numbers)
        oldest = self._sent[0][0] if self._sent else number
        self._sent.append((number, self._hub.send(method, number, oldest, *args, **kwargs)))

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
