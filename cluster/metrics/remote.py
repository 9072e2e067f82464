"""The metrics hub seen from the driver: a sink like any other."""

from __future__ import annotations

import itertools
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
        self._keys = itertools.count()
        self._sent: deque[Any] = deque()

    def write(self, row: Row) -> None:
        """Send one row."""
        self._sent.append(self._hub.send(MetricsShell.write, self._key(), dict(row)))
        self._settle(timeout_s=0)

    def alert(self, title: str, text: str) -> None:
        """Send an alert."""
        self._sent.append(self._hub.send(MetricsShell.alert, self._key(), title, text))

    def summarize(self, figures: Mapping[str, float | int | str | None]) -> None:
        """Send closing figures."""
        self._sent.append(self._hub.send(MetricsShell.summarize, dict(figures)))

    def settle(self) -> None:
        """Wait until the hub has everything that was sent, and has written it.

        Raises:
            ActorDied: It is gone for good, or was silent for `SILENT_S`.
        """
        self._settle(SILENT_S, must_end=True)

    def close(self) -> None:
        """Wait for everything sent, and close the hub."""
        self._settle(SILENT_S, must_end=True)  # after a restart calls may overtake each other
        self._sent.append(self._hub.send(MetricsShell.close))
        self._settle(SILENT_S, must_end=True)

    def _key(self) -> str:
        """Return what makes the next call count once."""
        return f"driver-{next(self._keys)}"

    def _settle(self, timeout_s: float, *, must_end: bool = False) -> None:
        """Take back what the hub has answered; raises what it raised."""
        while self._sent:
            done, _ = ray.wait([self._sent[0]], timeout=timeout_s)
            if not done and not must_end:
                return
            if not done:
                raise ActorDied(
                    f"the run waited {timeout_s:g} s for {self._hub.who} to write what it was sent"
                )
            with raised_as_itself(self._hub.who):
                ray.get(self._sent.popleft())
