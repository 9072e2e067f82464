"""The metrics hub seen from the driver: a sink like any other."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Mapping
from typing import Any

import ray
from ray.exceptions import RayTaskError

from cluster.metrics.names import Row


class RemoteSink:
    """Sends rows to a `MetricsShell` without waiting for them.

    A row that the hub refused raises at one of the next writes, or at `close`: nothing is lost in
    silence.

    Args:
        hub: Handle of the actor.
    """

    def __init__(self, hub: Any) -> None:
        self._hub = hub
        self._keys = itertools.count()
        self._sent: deque[Any] = deque()

    def write(self, row: Row) -> None:
        """Send one row."""
        self._sent.append(self._hub.write.remote(f"driver-{next(self._keys)}", dict(row)))
        self._settle(timeout_s=0)

    def alert(self, title: str, text: str) -> None:
        """Send an alert."""
        self._sent.append(self._hub.alert.remote(title, text))

    def summarize(self, figures: Mapping[str, float | int | str | None]) -> None:
        """Send closing figures."""
        self._sent.append(self._hub.summarize.remote(dict(figures)))

    def close(self) -> None:
        """Wait for everything sent, and close the hub."""
        self._sent.append(self._hub.close.remote())
        self._settle(timeout_s=None)

    def _settle(self, timeout_s: float | None) -> None:
        """Take back what the hub has answered; raises what it raised."""
        while self._sent:
            done, _ = ray.wait([self._sent[0]], timeout=timeout_s)
            if not done:
                return
            try:
                ray.get(self._sent.popleft())
            except RayTaskError as error:
                raise error.cause from error
