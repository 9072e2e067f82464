"""The cord: anyone stops the line, the owner lets it go on; a rollback is ordered with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from label_queue.folds.lineage import as_provenance
from label_queue.ledger.group_commit import GroupCommit
from label_queue.state import LabelState
from protocol.cord import CordState, Pulled, ReasonReleased, RollbackOrdered, RolledBack
from protocol.errors import LabelConflict, UnknownTask
from protocol.messages import PolicyVersion


class Cord:
    """Pulls, releases and waits; how it hangs is `LabelState.cord`, a fold over the ledger.

    One decision at a time: how the cord hangs when one is made is how it hangs when it is written.
    """

    def __init__(
        self,
        state: LabelState,
        commits: GroupCommit,
        clock: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        self._state = state
        self._commits = commits
        self._clock = clock
        self._new_id = new_id
        self._deciding = asyncio.Lock()

    async def pass_by(self) -> int | None:
        """Block while the cord is pulled; return None, or the policy version to restore first.

        Raises QueueClosed once the queue is closed.
        """
        while self._state.cord.is_pulled:
            self._state.refuse_if_closed()
            if self._state.cord.rollback_to is not None:
                return self._state.cord.rollback_to
            await self._state.change.wait()
        self._state.refuse_if_closed()
        return None

    async def wait_released(self) -> None:
        """Block while the cord is pulled, whatever is ordered meanwhile.

        Raises QueueClosed once the queue is closed.
        """
        while self._state.cord.is_pulled:
            self._state.refuse_if_closed()
            await self._state.change.wait()
        self._state.refuse_if_closed()

    async def pull(
        self,
        actor: str,
        reason: str,
        offered_rollback: int | None = None,
        *,
        guard: str = "",
        evidence: str = "",
    ) -> CordState:
        """Stop the line, or add a reason for which it stands; on disk at return.

        Everybody, and every guard, has one open reason at most: their second pull changes nothing.
        """
        async with self._deciding:
            open_by = [(each.actor, each.guard) for each in self._state.cord.reasons]
            if (actor, guard) not in open_by:
                pulled = Pulled(
                    event_id=self._new_id(),
                    actor=actor,
                    reason=reason,
                    at=self._clock(),
                    offered_rollback=offered_rollback,
                    guard=guard,
                    evidence=evidence,
                )
                await self._commits.write([pulled])
            return self._state.cord

    async def release(self, actor: str, reason: str, pull_id: str) -> CordState:
        """Take one reason away, the one named; the line goes on when none is left. Idempotent.

        The name is the caller's, of a reason they have seen: "the oldest" would be another one by
        the time a call comes again. Raises LabelConflict while a rollback is under way,
        UnknownTask for a pull that never was.
        """
        async with self._deciding:
            hangs = self._state.cord
            if hangs.rollback_to is not None:
                raise LabelConflict(
                    f"the rollback to policy version {hangs.rollback_to} is under way: "
                    "release the cord when it is done"
                )
            if not self._state.knows_cord_event(pull_id):
                raise UnknownTask(f"nobody pulled the cord by the name of {pull_id!r}", "pull_id")
            if pull_id in [each.pull_id for each in hangs.reasons]:
                released = ReasonReleased(
                    event_id=self._new_id(),
                    actor=actor,
                    reason=reason,
                    at=self._clock(),
                    pull_id=pull_id,
                )
                await self._commits.write([released])
            return self._state.cord

    async def order_rollback(self, actor: str, to_version: int, reason: str) -> CordState:
        """Order a rollback, which pulls the cord. Idempotent while it is under way.

        Raises UnknownTask for a version that was never made, LabelConflict while a rollback to
        another one is under way.
        """
        async with self._deciding:
            if self._is_ordered(to_version):
                return self._state.cord
            order = RollbackOrdered(
                event_id=self._new_id(),
                actor=actor,
                reason=reason,
                at=self._clock(),
                to_version=to_version,
            )
            await self._commits.write([order])
            return self._state.cord

    def _is_ordered(self, to_version: int) -> bool:
        """Whether this rollback is under way; raises where it cannot be ordered."""
        ordered = self._state.cord.rollback_to
        if ordered == to_version:
            return True
        if ordered is not None:
            raise LabelConflict(f"a rollback to policy version {ordered} is under way: wait for it")
        if to_version not in self._state.policies:
            raise UnknownTask(
                f"no policy version {to_version} was made in this run: the newest is "
                f"{self._state.policy_version}",
                "to_version",
            )
        return False

    async def rolled_back(self, policy: PolicyVersion) -> None:
        """Note that the ordered rollback was done and made `policy`. The cord stays pulled.

        Idempotent by the version it made.
        """
        assert policy.restored_from is not None, "only a rollback makes such a version"
        done = RolledBack(
            event_id=f"rolled_back:{policy.version}",
            actor="learner",
            reason=f"policy version {policy.version} was made of {policy.restored_from}",
            at=self._clock(),
            restored_version=policy.restored_from,
        )
        await self._commits.write_patiently([as_provenance(policy, self._clock()), done])
