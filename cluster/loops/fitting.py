"""From a fit that is due to a version in service; what breaks a fit off, and what is done then."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping

from cluster.guards.guards import Guards
from cluster.loops.journal import Journal
from cluster.loops.parts import Parts
from cluster.loops.reward_guard import RewardGuard
from protocol.errors import DiskFull, NotFinite
from protocol.labels import FitRequest, RewardVersion

ROOM_POLL_S = 1.0
MOST_UNWRITTEN = 3
"""Fits in a row that find no room on a disk that, says the label side, has some."""


class RewardFitting:
    """Has the reward trainer fit, and the reward service take the version up.

    Args:
        parts: The run's.
        journal: Times the fits.
        guards: Stop the line for a fit that gives no numbers.
        reward_guard: Looks at a version as it is swapped in.
        ledger_seqs: Gets the last label that each version learned, by reward version.
    """

    def __init__(
        self,
        parts: Parts,
        journal: Journal,
        guards: Guards,
        reward_guard: RewardGuard,
        ledger_seqs: MutableMapping[int, int],
    ) -> None:
        self._parts = parts
        self._journal = journal
        self._guards = guards
        self._reward_guard = reward_guard
        self._ledger_seqs = ledger_seqs
        self._num_unwritten = 0

    async def fit(self, request: FitRequest) -> RewardVersion | None:
        """Return the version, once every replica serves it.

        None where the fit was broken off: the version before stays live, and the same fit is due.
        It was for NaN, and the line was stopped and released since; or for want of room on a disk.

        Raises:
            DiskFull: There is still no room, though the ledger's disk has some.
        """
        try:
            with self._journal.fitting(request.kind):
                version = await self._parts.reward_trainer.fit(request)
            # Before the swap: the first score of the new version may come while it returns.
            self._ledger_seqs[version.version] = version.ledger_seq
            await self._reward_guard.serve(version, request)
        except NotFinite as error:
            await self._guards.fit_broken(error, request)
            await self._parts.labels.wait_released()
            return None
        except DiskFull:
            self._num_unwritten = 0 if await self._waited_for_room() else self._num_unwritten + 1
            if self._num_unwritten == MOST_UNWRITTEN:
                raise
            return None
        self._num_unwritten = 0
        return version

    async def _waited_for_room(self) -> bool:
        """Wait while the ledger's disk has no room; return whether that was so."""
        has_waited = False
        while await self._parts.labels.want_of_room():
            has_waited = True
            await asyncio.sleep(ROOM_POLL_S)
        return has_waited
