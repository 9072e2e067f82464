"""What the policy loop asks of the label queue, on record."""

from __future__ import annotations

from collections.abc import Sequence
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any

from cluster.recordings.crossings import (
    ADD_REFERENCE,
    CATCH_UP,
    NEXT_FIT,
    NEXT_ORDERS,
    OFFER,
    REWARD_SERVED,
    ROLLED_BACK,
    SET_PROGRESS,
    Offer,
    Progress,
    without_place,
)
from cluster.recordings.ports import itself
from cluster.recordings.recorder import Recorder
from label_queue.sides.policy_loop import PolicyLoopSide
from protocol.fits import FitRequest, RewardVersion
from protocol.labels import QueryDraft, QueryOrder
from protocol.messages import PolicyVersion, Rollout


class _RecordedPolicyLoop(PolicyLoopSide):
    """Records the calls whose answers can be compared, or that move the label queue."""

    def __init__(self, side: PolicyLoopSide, recorder: Recorder) -> None:
        self._side = side
        self._recorder = recorder

    async def add_reference(self, rollouts: Sequence[Rollout]) -> None:
        asked = tuple(rollouts)
        await self._recorder.through(
            ADD_REFERENCE, asked, lambda: self._side.add_reference(rollouts), itself
        )

    async def next_orders(self, timeout_s: float, call: str | None = None) -> list[QueryOrder]:
        return await self._recorder.through(
            NEXT_ORDERS, None, lambda: self._side.next_orders(timeout_s, call), tuple
        )

    async def offer(self, order_id: str, drafts: Sequence[QueryDraft]) -> int:
        asked = Offer(order_id=order_id, drafts=tuple(drafts))
        return await self._recorder.through(
            OFFER, asked, lambda: self._side.offer(order_id, drafts), itself
        )

    async def set_progress(self, episodes: int, policy: PolicyVersion) -> None:
        asked = Progress(episodes=episodes, policy=without_place(policy))
        await self._recorder.through(
            SET_PROGRESS, asked, lambda: self._side.set_progress(episodes, policy), itself
        )

    async def rolled_back(self, policy: PolicyVersion) -> None:
        await self._recorder.through(
            ROLLED_BACK, without_place(policy), lambda: self._side.rolled_back(policy), itself
        )

    async def next_refit(self) -> FitRequest:
        return await self._recorder.through(NEXT_FIT, "refit", self._side.next_refit, itself)

    async def next_update(self) -> FitRequest:
        return await self._recorder.through(NEXT_FIT, "warm", self._side.next_update, itself)

    async def catch_up(self, refit: RewardVersion) -> FitRequest | None:
        return await self._recorder.through(
            CATCH_UP, refit, lambda: self._side.catch_up(refit), itself
        )

    async def reward_served(self, version: RewardVersion) -> None:
        await self._recorder.through(
            REWARD_SERVED, version, lambda: self._side.reward_served(version), itself
        )


def recorded_policy_loop(side: PolicyLoopSide, recorder: Recorder) -> PolicyLoopSide:
    """Return the label queue's side with what crosses it on record; all else goes straight there.

    Args:
        side: Here or in another process.
        recorder: Writes it down.
    """
    straight = {
        name: _straight(name, member)
        for name, member in vars(PolicyLoopSide).items()
        if iscoroutinefunction(member) and name not in vars(_RecordedPolicyLoop)
    }
    recorded_class = type("RecordedPolicyLoop", (_RecordedPolicyLoop,), straight)
    recorded: PolicyLoopSide = recorded_class(side, recorder)
    return recorded


def _straight(name: str, method: Any) -> Any:
    @wraps(method)
    async def call(self: _RecordedPolicyLoop, *args: Any, **kwargs: Any) -> Any:
        return await getattr(self._side, name)(*args, **kwargs)

    return call
