"""Fakes of the controller's parts: they keep the ports' promises and remember what was asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from label_queue.sides.policy_loop import PolicyLoopSide
from protocol.errors import MissingError, ScoringFailed
from protocol.labels import CordState, FitRequest, QueryDraft, QueryOrder, RewardVersion
from protocol.messages import (
    ExperienceBatch,
    PolicyVersion,
    Prompt,
    Rollout,
    RolloutRequest,
    Score,
    StepReport,
)
from tests.support.messages import make_policy, make_prompt, make_rollout


class FakePrompts:
    def __init__(self) -> None:
        self.cursor = 0

    def draw(self, count: int) -> list[Prompt]:
        self.cursor += count
        return [make_prompt(n) for n in range(self.cursor - count, self.cursor)]

    def seek(self, cursor: int) -> None:
        self.cursor = cursor


class FakeActor:
    """Answers at once under the version it holds; `is_complete` decides which responses end."""

    def __init__(self, is_complete: Callable[[RolloutRequest], bool] = lambda _: True) -> None:
        self.version = 0
        self.requests: list[RolloutRequest] = []
        self._is_complete = is_complete

    async def generate(self, requests: Sequence[RolloutRequest]) -> list[Rollout]:
        self.requests += requests
        await asyncio.sleep(0)
        return [
            make_rollout(request, self.version, is_complete=self._is_complete(request))
            for request in requests
        ]

    async def load_policy(self, policy: PolicyVersion) -> float:
        await asyncio.sleep(0)
        self.version = policy.version
        return 1e-6


class FakeLearner:
    """Keeps a checkpoint of every second version."""

    def __init__(self) -> None:
        self.batches: list[ExperienceBatch] = []
        self.restored: list[int] = []
        self.newest = 0
        self._episodes = 0

    async def step(self, batch: ExperienceBatch) -> StepReport:
        self.batches.append(batch)
        for _ in range(5):  # long enough for the other loops to move
            await asyncio.sleep(0)
        episodes = batch.episodes_before + len(batch.rollouts)
        assert batch.step == self.newest, "a step is numbered by the version it changes"
        self.newest, self._episodes = batch.step + 1, episodes
        return StepReport(policy=make_policy(self.newest, episodes), metrics={"policy/loss": 0.5})

    async def checkpoints(self) -> tuple[int, ...]:
        return tuple(range(0, self.newest, 2))

    async def restore(self, version: int) -> PolicyVersion:
        if version not in await self.checkpoints():
            raise MissingError(f"no checkpoint of policy version {version}")
        self.restored.append(version)
        self.newest += 1
        return replace(make_policy(self.newest, self._episodes), restored_from=version)


class FakeRewardService:
    """Scores with the live version; fails first as often as it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.version = 0
        self.value: Callable[[int, Sequence[int]], float] = lambda version, sequence: 0.1
        """(reward version, sequence) → score."""
        self._failures = failures

    async def score(self, sequences: Sequence[Sequence[int]]) -> list[Score]:
        await asyncio.sleep(0)
        if self._failures:
            self._failures -= 1
            raise ScoringFailed("no replica answered")
        values = [self.value(self.version, sequence) for sequence in sequences]
        return [Score(value=x, heads=(x,), reward_version=self.version) for x in values]

    async def swap(self, version: RewardVersion) -> None:
        await asyncio.sleep(0)
        self.version = version.version


class FakeRewardTrainer:
    def __init__(self) -> None:
        self.requests: list[FitRequest] = []

    async def fit(self, request: FitRequest) -> RewardVersion:
        self.requests.append(request)
        await asyncio.sleep(0)
        return RewardVersion(
            version=len(self.requests),
            kind=request.kind,
            path="",
            sha256="",
            ledger_seq=request.ledger_seq,
            exclusions_sha256="",
            labeler_weights=(),
            labels_used=request.labels_used,
            fit_seconds=0.1,
        )


class FakeLabelQueue(PolicyLoopSide):
    """Wants one query, grants every wait, and asks for a fit each time the last was learned.

    Its cord is pulled by the test, or by a guard; `order_rollback` and `release` are the owner's.
    """

    def __init__(self, max_fits: int = 3) -> None:
        self.cord_state = CordState(is_pulled=False)
        self.rollbacks: list[PolicyVersion] = []
        self._cord_changed = asyncio.Condition()
        self.reference: list[Rollout] = []
        self.drafts: list[QueryDraft] = []
        self.progress: list[int] = []
        self.learned_versions: list[RewardVersion] = []
        self._orders = [
            QueryOrder(
                order_id="order-0",
                purpose="train",
                num_drafts=2,
                num_queries=2,
                num_candidates=4,
                prompts=(),
            )
        ]
        self._max_fits = max_fits
        self._num_fits = 0
        self._may_fit = asyncio.Event()
        self._may_fit.set()

    async def add_reference(self, rollouts: Sequence[Rollout]) -> None:
        self.reference += rollouts

    async def next_orders(self, timeout_s: float) -> list[QueryOrder]:
        if not self._orders:
            await asyncio.Event().wait()
        orders, self._orders = self._orders, []
        return orders

    async def offer(self, order_id: str, drafts: Sequence[QueryDraft]) -> int:
        self.drafts += drafts
        return len(drafts)

    async def set_progress(self, episodes: int, policy: PolicyVersion) -> None:
        self.progress.append(episodes)

    async def wait_until_allowed(self, episodes: int) -> float:
        return 0.0

    async def next_fit(self) -> FitRequest:
        await self._may_fit.wait()
        self._may_fit.clear()
        self._num_fits += 1
        return FitRequest(
            kind="refit",
            ledger_seq=10 * self._num_fits,
            comparisons=(),
            labeler_weights=(),
            exclusions_sha256="",
            labels_used=10 * self._num_fits,
        )

    async def learned(self, version: RewardVersion) -> None:
        self.learned_versions.append(version)
        if self._num_fits < self._max_fits:
            self._may_fit.set()

    async def stats(self) -> dict[str, float]:
        return {"labels/accepted": 0.0}

    async def pass_cord(self) -> int | None:
        async with self._cord_changed:
            while self.cord_state.is_pulled:
                if self.cord_state.rollback_to is not None:
                    return self.cord_state.rollback_to
                await self._cord_changed.wait()
        return None

    async def pull_cord(self, actor: str, reason: str, offered_rollback: int | None = None) -> None:
        if not self.cord_state.is_pulled:
            await self._set_cord(
                CordState(
                    is_pulled=True,
                    pulled_by=actor,
                    reason=reason,
                    pulled_at=100.0,
                    offered_rollback=offered_rollback,
                )
            )

    async def rolled_back(self, policy: PolicyVersion) -> None:
        self.rollbacks.append(policy)
        await self._set_cord(replace(self.cord_state, rollback_to=None))

    async def cord(self) -> CordState:
        return self.cord_state

    async def order_rollback(self, to_version: int) -> None:
        await self._set_cord(replace(self.cord_state, is_pulled=True, rollback_to=to_version))

    async def release(self) -> None:
        await self._set_cord(CordState(is_pulled=False))

    async def _set_cord(self, state: CordState) -> None:
        async with self._cord_changed:
            self.cord_state = state
            self._cord_changed.notify_all()
