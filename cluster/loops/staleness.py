"""The staleness bound, first half: admission.

A rollout is started only if it cannot arrive too old [A]. With B episodes a step and bound η,
rollout number n (from 1) is trained in step ⌊(n − 1)/B⌋ at the earliest, at policy version
⌊(n − 1)/B⌋; so it may start once the actors hold version ⌊(n − 1)/B⌋ − η. The second half, at
the learner's door, is in `experience`.
"""

from __future__ import annotations

import asyncio

from protocol.errors import VersionError


class StalenessGate:
    """Counts the rollouts in the pipeline and holds back those that would be too stale.

    Args:
        batch_size: B, episodes a step.
        max_policy_lag: η, in versions; 0 is synchronous.
    """

    def __init__(self, batch_size: int, max_policy_lag: int) -> None:
        self._batch_size = batch_size
        self._max_policy_lag = max_policy_lag
        self._admitted = 0
        self._version = 0
        self._num_skipped = 0
        self._changed = asyncio.Condition()

    @property
    def admitted(self) -> int:
        """Rollouts started and neither dropped nor given back: trained, waiting or running."""
        return self._admitted

    @property
    def version(self) -> int:
        """The policy version all actors hold."""
        return self._version

    def room(self) -> int:
        """How many more rollouts may start now."""
        num_batches = self._version - self._num_skipped + self._max_policy_lag + 1
        return num_batches * self._batch_size - self._admitted

    async def admit(self, most: int) -> int:
        """Wait until a rollout may start, then admit up to `most`; return how many."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.room() > 0)
            granted = min(most, self.room())
            self._admitted += granted
            return granted

    async def release(self, count: int) -> None:
        """Slot released: `count` admitted rollouts were dropped and others may take their place."""
        async with self._changed:
            assert count <= self._admitted, "more slots released than were taken"
            self._admitted -= count
            self._changed.notify_all()

    async def skip_version(self) -> None:
        """A version came that no rollouts are trained for: one that a rollback restored.

        Until the actors hold it there is room for a batch less.
        """
        async with self._changed:
            self._num_skipped += 1

    async def announce(self, version: int) -> None:
        """Version announced: every actor now holds `version`.

        Raises:
            VersionError: The version is older than the one announced last.
        """
        async with self._changed:
            if version < self._version:
                raise VersionError(f"policy version {version} came after {self._version}")
            self._version = version
            self._changed.notify_all()
