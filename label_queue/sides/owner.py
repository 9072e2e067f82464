"""What the run's owner asks of the label queue: who comes in, whose labels count, the cord."""

from __future__ import annotations

from label_queue.labeling.admissions import Admission, Admissions
from label_queue.ledger.records import Role
from label_queue.oversight.cord import Cord
from label_queue.oversight.exclusion import ExclusionPreview
from label_queue.oversight.overview import Overview
from label_queue.oversight.owner import Oversight
from protocol.cord import CordState

OWNER = "owner"
"""Name that whoever acts here has in the ledger."""


class OwnerSide:
    """overview; admit, exclude, reinstate; pull, release, roll back. Errors are LabelErrors."""

    def __init__(self, *, admissions: Admissions, oversight: Oversight, cord: Cord) -> None:
        self._admissions = admissions
        self._oversight = oversight
        self._cord = cord

    async def overview(self) -> Overview:
        """Return all that the owner's page shows."""
        return await self._oversight.overview()

    async def wait_for_overview(self, after: float, timeout_s: float) -> Overview:
        """Wait for something to change; see `Oversight.wait_for_overview`."""
        return await self._oversight.wait_for_overview(after, timeout_s)

    async def add_labeler(self, name: str, role: Role = "labeler") -> str:
        """Return a new token for somebody, who is made if need be; see `Admissions.add_labeler`."""
        return await self._admissions.add_labeler(name, role)

    async def admit(self, labeler_id: str, role: Role) -> Admission:
        """Give somebody a one-time link and a token; see `Admissions.admit`."""
        return await self._admissions.admit(labeler_id, role)

    async def revoke(self, labeler_id: str, reason: str) -> None:
        """Void all tokens, links and sessions of somebody; see `Admissions.revoke`."""
        await self._admissions.revoke(labeler_id, reason)

    async def preview_exclusion(self, labeler_id: str, from_seq: int) -> ExclusionPreview:
        """Say what an exclusion would change; see `Oversight.preview_exclusion`."""
        return await self._oversight.preview_exclusion(labeler_id, from_seq)

    async def exclude(self, labeler_id: str, from_seq: int, reason: str) -> ExclusionPreview:
        """Leave somebody's labels out; see `Oversight.exclude`."""
        return await self._oversight.exclude(labeler_id, from_seq, reason)

    async def reinstate(self, labeler_id: str, reason: str) -> ExclusionPreview:
        """Undo exclusion or suspension; see `Oversight.reinstate`."""
        return await self._oversight.reinstate(labeler_id, reason)

    async def pull_cord(self, reason: str) -> CordState:
        """Stop the line, as the owner; see `Cord.pull`."""
        return await self._cord.pull(OWNER, reason)

    async def release_cord(self, reason: str, pull_id: str | None = None) -> CordState:
        """Take one reason away, the oldest unless one is named; see `Cord.release`."""
        return await self._cord.release(OWNER, reason, pull_id)

    async def order_rollback(self, to_version: int, reason: str) -> CordState:
        """Pull the cord if need be and order a rollback; see `Cord.order_rollback`."""
        return await self._cord.order_rollback(OWNER, to_version, reason)

    async def make_gold(self, query_id: str, choice: str) -> str:
        """Ask a past query as gold from now on; see `Oversight.make_gold`."""
        return await self._oversight.make_gold(query_id, choice)
