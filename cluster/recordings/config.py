"""What a run's config says of recording what crosses its processes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from protocol.settings import Settings

CrossingStream = Literal["rollouts", "scores", "batches", "labels", "versions"]
"""What can be recorded: requests and rollouts; sequences and scores; batches and what the learner
made of them; what the loops ask of label queue and reward trainer; which versions were taken."""


class RecordingConfig(Settings):
    """What crosses a process and is recorded, for `andon replay`."""

    record: tuple[CrossingStream, ...] = ()
    """E.g. ["batches", "labels"]; empty: nothing is. "rollouts" gives each request a seed."""
    max_gib: float = Field(default=10.0, ge=0.001, le=1_000_000)
    """Disk for all streams together, GiB; the oldest segments go first."""

    @property
    def max_bytes(self) -> int:
        """The bound on the disk, in bytes."""
        return int(self.max_gib * 2**30)
