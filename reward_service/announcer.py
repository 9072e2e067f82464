"""Which reward version is announced, and which replicas serve it.

One announcer a run. Replicas pull: each long-polls for a version newer than its own, and the poll
itself registers the replica, reports what it serves and is its heartbeat. While a replica takes a
version in, which may have to come from another node first, it says so instead.

    swap(v7) ──▶ target = v7 ──▶ polls return v7 ──▶ replicas load and poll again with v7
                                                 └─▶ or report `failed`, and v7 is withdrawn:
                                                     who has it by now goes back to v6
    swap(v7) returns once every live replica has polled with v7 or newer
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from protocol.errors import AndonError, VersionError
from protocol.fits import RewardVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class _Replica:
    """What a replica said of itself when it last polled."""

    loaded: int
    """Reward version that the replica has loaded; 0 before the first."""
    polled_at: float
    """When the replica last polled or said that it works, seconds on the announcer's clock."""


class Announcer:
    """The present reward version and who serves it. All methods may be called twice."""

    def __init__(
        self,
        *,
        heartbeat_timeout_s: float,
        now: Callable[[], float],
        served: RewardVersion | None = None,
        note_withdrawn: Callable[[RewardVersion, AndonError], None] = lambda *_: None,
    ) -> None:
        """Start with no replicas.

        Args:
            heartbeat_timeout_s: A replica that has said nothing for longer is forgotten.
            now: A monotonic clock, in seconds.
            served: The version to begin with; None: none yet.
            note_withdrawn: Writes down of a version that it is withdrawn, and why; called in a
                thread, before whoever announced the version hears of it.
        """
        self._note_withdrawn = note_withdrawn
        self._heartbeat_timeout_s = heartbeat_timeout_s
        self._now = now
        self._served = served
        self._target = served
        self._withdrawn: dict[int, AndonError] = {}
        self._replicas: dict[str, _Replica] = {}
        self._changed = asyncio.Condition()
        self._one_swap = asyncio.Lock()

    @property
    def served(self) -> RewardVersion | None:
        """The last version that every live replica proved; what a fresh replica begins with."""
        return self._served

    @property
    def replicas(self) -> dict[str, int]:
        """The live replicas and the reward version each serves, 0 before the first."""
        return {name: replica.loaded for name, replica in self._replicas.items()}

    def standing(self) -> dict[str, Any]:
        """Return what is announced, and each live replica's version and time since its last poll.

        {"announced": 7, "replicas": {"x2f9": {"version": 7, "heard_s": 0.4}}}; 0 is no version yet.
        """
        now = self._now()
        return {
            "announced": _number(self._target),
            "replicas": {
                name: {"version": replica.loaded, "heard_s": now - replica.polled_at}
                for name, replica in self._replicas.items()
            },
        }

    async def next_version(self, replica_id: str, loaded: RewardVersion | None) -> RewardVersion:
        """Register a replica and return the announced version once it is newer than its own.

        Or older, where its own was withdrawn, since another replica could not take it.

        Blocks until there is one: the caller sets the limit, shorter than the heartbeat timeout,
        and polls again.

        Args:
            replica_id: Unique for every process, restarts included.
            loaded: The version the replica serves.
        """
        own = _number(loaded)
        async with self._changed:
            self._replicas[replica_id] = _Replica(loaded=own, polled_at=self._now())
            if own > _number(self._target) and own not in self._withdrawn:
                # The announcer was restarted and learns from the replicas where the run is.
                self._served = self._target = loaded
            self._changed.notify_all()
            await self._changed.wait_for(lambda: self._is_to_move(own))
            assert self._target is not None
            return self._target

    def at_work(self, replica_id: str) -> None:
        """Renew the heartbeat of a replica that takes a version in, and cannot poll meanwhile.

        Of one that was forgotten nothing is known until it polls.
        """
        replica = self._replicas.get(replica_id)
        if replica is not None:
            self._replicas[replica_id] = replace(replica, polled_at=self._now())

    async def failed(self, version: int, error: AndonError) -> None:
        """Withdraw a version that a replica could not load or prove; the old one stays.

        A newer one that was announced since stays announced; one that all others serve by now is
        not withdrawn: the replica that could not is at fault.
        """
        async with self._changed:
            if version <= _number(self._served):
                return
            self._withdrawn[version] = error
            if _number(self._target) == version:
                self._target = self._served
            self._changed.notify_all()

    async def withdraw(self, version: RewardVersion, why: AndonError) -> None:
        """Withdraw a version that nobody is to go on from, though no replica was asked to take it.

        One that is served, or older, stays.
        """
        await self.failed(version.version, why)
        if version.version in self._withdrawn:
            await asyncio.to_thread(self._note_withdrawn, version, why)

    async def swap(self, announced: RewardVersion) -> None:
        """Announce a version and return when every live replica, and at least one, serves it.

        Blocks; a second swap waits for the first. A replica forgotten meanwhile is not waited for.

        Raises:
            VersionError: Older than the version served, or the same number with other weights.
            AndonError: What a replica raised; the version is withdrawn for good.
        """
        async with self._one_swap, self._changed:
            self._check_rises(announced)
            if announced.version not in self._withdrawn:
                self._target = announced
                self._changed.notify_all()
                await self._changed.wait_for(lambda: self._is_settled(announced.version))
            if (error := self._withdrawn.get(announced.version)) is not None:
                await asyncio.to_thread(self._note_withdrawn, announced, error)
                raise error
            self._served = announced

    async def forget_silent(self) -> None:
        """Forget replicas that have said nothing within the heartbeat timeout."""
        oldest = self._now() - self._heartbeat_timeout_s
        async with self._changed:
            self._replicas = {
                name: replica
                for name, replica in self._replicas.items()
                if replica.polled_at >= oldest
            }
            self._changed.notify_all()

    def _is_to_move(self, own: int) -> bool:
        """Whether a replica that serves a version is to serve another."""
        target = _number(self._target)
        return target > own or (own in self._withdrawn and target > 0)

    def _is_settled(self, version: int) -> bool:
        if version in self._withdrawn:
            return True
        return bool(self._replicas) and all(
            replica.loaded >= version for replica in self._replicas.values()
        )

    def _check_rises(self, announced: RewardVersion) -> None:
        served = self._served
        if served is None or announced.version > served.version:
            return
        if (announced.version, announced.sha256) != (served.version, served.sha256):
            raise VersionError(
                f"reward version {announced.version} ({announced.sha256}) was announced after "
                f"version {served.version} ({served.sha256}): versions only rise"
            )


def _number(version: RewardVersion | None) -> int:
    """Return the version's number, 0 for none."""
    return version.version if version else 0
