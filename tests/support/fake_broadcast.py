"""A collective with two actors that are always there, or that never come."""

from __future__ import annotations

import threading
from collections.abc import Mapping


class FakeBroadcast:
    """Takes what is sent; where nobody else comes, `send` waits until it is aborted."""

    def __init__(self, *, is_alone: bool = False) -> None:
        self.sent: list[Mapping[str, object]] = []
        self.failure: Exception | None = None
        self.aborted = threading.Event()
        self.left = threading.Event()
        self._is_alone = is_alone

    def seats(self) -> dict[str, dict[str, object]]:
        return {"rollout-0": {"rank_offset": 1}, "rollout-1": {"rank_offset": 2}}

    def send(self, tensors: Mapping[str, object]) -> None:
        if self.failure is not None:
            raise self.failure
        if self._is_alone:
            self.aborted.wait()
            self.left.set()
        self.sent.append(tensors)

    def abort(self) -> None:
        self.aborted.set()
