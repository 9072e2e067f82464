"""From a fit that is due to a version in service; what breaks a fit off, and what is done then."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, MutableMapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

from cluster.guards.guards import Guards
from cluster.loops.journal import Journal
from cluster.loops.parts import Parts
from cluster.loops.reward_guard import RewardGuard
from protocol.errors import AndonError, DiskFull, NotFinite, TransientError
from protocol.fits import FitRequest, RewardVersion

ROOM_POLL_S = 1.0
MOST_UNWRITTEN = 3
"""Fits in a row that find no room on a disk that, says the label side, has some."""


class RewardFitting:
    """Has the reward trainer fit, and the reward service take the version up.

    A refit is worked off beside the live model, which goes on being updated between two steps of
    it. One version at a time is made, served and told of.

    Args:
        parts: The run's.
        journal: Times the fits.
        guards: Stop the line for a fit that gives no numbers.
        reward_guard: Looks at a version as it is swapped in.
        ledger_seqs: Gets the last label that each version learned, by reward version.
        learns_marks: Whether the reward model has a head for marks; else no fit is asked to learn
            any, so that requests which come to the same are the same.
    """

    def __init__(
        self,
        parts: Parts,
        journal: Journal,
        guards: Guards,
        reward_guard: RewardGuard,
        ledger_seqs: MutableMapping[int, int],
        *,
        learns_marks: bool,
    ) -> None:
        self._parts = parts
        self._journal = journal
        self._guards = guards
        self._reward_guard = reward_guard
        self._ledger_seqs = ledger_seqs
        self._learns_marks = learns_marks
        self._num_unwritten = 0
        self._turn = asyncio.Lock()
        self._known = 0
        """The newest version that is served; 0 before the first."""
        self.has_served = asyncio.Event()
        """Whether there is a version that rollouts can be scored by."""

    async def refit(self, request: FitRequest) -> None:
        """Fit from ρ, have the result learn what came meanwhile, and serve it.

        Where that is broken off, the version before stays live, and the same fit is due. Errors as
        `update`.
        """
        request = self._learnable(request)
        async with self._broken_off(request):
            with self._journal.fitting("refit"):
                for num_steps in itertools.count(1):
                    if await self._parts.reward_trainer.advance(request, num_steps):
                        break
            async with self._turn:
                await self._serve_caught_up(await self._fitted(request), request)

    async def update(self, request: FitRequest) -> None:
        """Have the live version learn what is new, and serve that; not if another became live.

        Where the fit is broken off, the version before stays live, and the same fit is due. That is
        for NaN, when the line was stopped and released since; or for want of room on a disk.

        Raises:
            DiskFull: There is still no room, though the ledger's disk has some.
        """
        request = self._learnable(request)
        async with self._broken_off(request), self._turn:
            if request.goes_on_from == self._known:
                await self._serve(await self._fitted(request), request)

    async def take_up(self, unserved: Sequence[RewardVersion]) -> None:
        """Serve the newest of the versions that an earlier process of the run made, and tell of it.

        Where replicas will not take it, all are withdrawn, and the cord is pulled, which says why;
        the version that is served stays, and what is due of it is fitted anew.

        Args:
            unserved: Of which nobody was told, oldest first: one, or a refit and the update of it.
        """
        if not unserved:
            return
        *before, newest = unserved
        try:
            await self._reward_guard.take_up(newest)
        except TransientError:
            raise  # it may be served yet
        except AndonError as error:
            for version in before:
                await self._parts.reward_service.withdraw(version, error)
            if not isinstance(error, NotFinite):
                raise
            await self._guards.version_refused(error, newest)
        else:
            await self.tell(newest, _caught_up_from(newest, before))

    async def tell(self, version: RewardVersion, refit: RewardVersion | None = None) -> None:
        """Tell of a version that every replica serves; rollouts can be scored from here on.

        Args:
            version: It.
            refit: The one that it goes on from, where that was never served itself.
        """
        if refit is not None:
            await self._parts.labels.reward_served(refit)
            self._journal.refitted(refit)
        self._ledger_seqs[version.version] = version.ledger_seq
        await self._parts.labels.reward_served(version)
        self._known = version.version
        self._journal.reward_served(version)
        self.has_served.set()

    async def _fitted(self, request: FitRequest) -> RewardVersion:
        with self._journal.fitting(request.kind):
            version = await self._parts.reward_trainer.fit(request)
        # Before the swap: the first score of the new version may come while it returns.
        self._ledger_seqs[version.version] = version.ledger_seq
        return version

    async def _serve_caught_up(self, refit: RewardVersion, request: FitRequest) -> None:
        """Serve a refit, or what it is once it has learned what came while it was fitted.

        Where replicas will not take that update, nobody has proved the refit either: both are left
        behind, and the version that is served stays.
        """
        missing = await self._parts.labels.catch_up(refit)
        if missing is None:
            await self._serve(refit, request)
            return
        missing = self._learnable(missing)
        try:
            update = await self._fitted(missing)
        except NotFinite as error:
            await self._guards.fit_broken(error, missing)
            await self._serve(refit, request)
            return
        except DiskFull:
            await self._serve(refit, request)  # it is whole, and its trainer stands there
            raise
        try:
            await self._reward_guard.serve(update, request, partial(self.tell, refit=refit))
        except TransientError:
            raise  # it may be served yet
        except AndonError as error:
            if self._known != update.version:  # it was refused; else what follows went wrong
                await self._parts.reward_service.withdraw(refit, error)
            raise

    def _learnable(self, request: FitRequest) -> FitRequest:
        """Return an order without what the reward model has no head to learn."""
        return request if self._learns_marks else without_marks(request)

    async def _serve(self, version: RewardVersion, request: FitRequest) -> None:
        await self._reward_guard.serve(version, request, self.tell)

    @asynccontextmanager
    async def _broken_off(self, request: FitRequest) -> AsyncIterator[None]:
        """Do what is to be done where a fit is broken off."""
        try:
            yield
        except NotFinite as error:
            await self._guards.fit_broken(error, request)
            await self._parts.labels.wait_released()
        except DiskFull:
            self._num_unwritten = 0 if await self._waited_for_room() else self._num_unwritten + 1
            if self._num_unwritten == MOST_UNWRITTEN:
                raise
        else:
            self._num_unwritten = 0

    async def _waited_for_room(self) -> bool:
        """Wait while the ledger's disk has no room; return whether that was so."""
        has_waited = False
        while await self._parts.labels.want_of_room():
            has_waited = True
            await asyncio.sleep(ROOM_POLL_S)
        return has_waited


def _caught_up_from(
    version: RewardVersion, before: Sequence[RewardVersion]
) -> RewardVersion | None:
    """Return the refit, never served, that a version goes on from; None: it is no such update."""
    if version.kind == "refit":
        return None
    of_its_refit = (each for each in before if each.version == version.version - 1)
    return next((each for each in of_its_refit if each.kind == "refit"), None)


def without_marks(request: FitRequest) -> FitRequest:
    """Return an order whose comparisons say nothing of words."""
    comparisons = tuple(
        replace(each, marks=()) if each.marks else each for each in request.comparisons
    )
    return replace(request, comparisons=comparisons)
