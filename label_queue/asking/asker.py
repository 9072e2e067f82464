"""The policy loop's side of the label queue: what to ask next, and the queries made of it."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable, Sequence

from label_queue.asking.orders import OrderBook, QueryMaker, QueryMoment, why_none
from label_queue.asking.pace import pace_of
from label_queue.asking.reference_pool import ReferencePool
from label_queue.asking.selection import make_selector
from label_queue.config import LabelsConfig
from label_queue.ledger.group_commit import GroupCommit
from label_queue.schedule import LabelSchedule
from label_queue.state import LabelState
from protocol.labels import ComparisonQuery, QueryDraft, QueryOrder
from protocol.logs import logger_of
from protocol.messages import Rollout

RATE_S = 60.0
"""How far back the labelers' pace is measured."""
POLL_S = 1.0
"""How often whoever waits looks again: leases, orders and full disks end without an event."""


class Asker:
    """Keeps l(n) + ahead labels asked for: orders go out, drafts come in, queries are written."""

    def __init__(
        self,
        state: LabelState,
        commits: GroupCommit,
        config: LabelsConfig,
        schedule: LabelSchedule,
        *,
        run_id: str,
        rng: random.Random,
        clock: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        self._state = state
        self._commits = commits
        self._config = config
        self._pace = pace_of(config, schedule, state)
        self._clock = clock
        self._log = logger_of("label_queue", run_id=run_id)
        selector = make_selector(config)
        self._pool = ReferencePool(per_query=config.num_candidates // 2, rng=rng)
        self._orders = OrderBook(config, selector=selector, pool=self._pool, new_id=new_id)
        self._maker = QueryMaker(
            config, run_id=run_id, selector=selector, pool=self._pool, new_id=new_id, rng=rng
        )
        self._offers: dict[str, asyncio.Task[int]] = {}
        self._asking = asyncio.Lock()
        self._asked: tuple[str, list[QueryOrder]] | None = None
        """The last named call for orders, and its answer."""
        for purpose, count in state.board.num_made.items():
            self._orders.made(purpose, count)

    def query_written(self, query: ComparisonQuery) -> None:
        """Count a query that is on disk toward the mix of purposes."""
        self._orders.made(query.purpose)

    def add_reference(self, rollouts: Sequence[Rollout]) -> None:
        """Take responses of ρ for validation queries. Idempotent by rollout id."""
        self._pool.add(rollouts)
        if self._config.validation_share and not len(self._pool):
            self._log.warning(
                "no validation: to no prompt has the starting policy given "
                f"{self._config.num_candidates // 2} responses that are not alike"
            )
        self._state.change.notify()

    async def next_orders(self, timeout_s: float, call: str | None = None) -> list[QueryOrder]:
        """Return what must be drawn; see `PolicyLoopSide.next_orders`."""
        if call is None:
            return await self._place_orders(timeout_s)
        async with self._asking:  # the same call again, while the first still waits, waits for it
            if self._asked is None or self._asked[0] != call:
                self._asked = (call, await self._place_orders(timeout_s))
            return self._asked[1]

    async def _place_orders(self, timeout_s: float) -> list[QueryOrder]:
        deadline = time.monotonic() + timeout_s
        while True:
            self._state.refuse_if_closed()
            now = self._clock()
            self._state.board.expire(now, self._num_received)
            lacking = self._lacking(now)
            if lacking > 0:
                return self._orders.place(
                    lacking,
                    now=now,
                    num_labelers=self._state.num_labelers,
                    with_validation=self._state.policy_version > 0,
                    least_version=self._pace.policy_to_ask,
                )
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return []
            await self._state.change.wait(min(remaining, POLL_S))

    def _lacking(self, now: float) -> int:
        """Return how many answers to ask for now.

        A query somebody has answered holds back no other, nor does one that is held for longer than
        a lease lasts: the rest of its answers may never come. While the cord is pulled, a policy
        that gives nothing to ask about is not asked on and on: somebody has to look first.
        """
        if self._orders.are_barren:
            if self._state.cord.is_pulled:
                return 0
            self._orders.forgive()
        asked = (
            self._state.history.num_preferences
            + self._state.board.slots_to_come(now, self._state.terms.duration_s)
            + self._orders.outstanding_slots(now)
        )
        return self._pace.lacking(asked, self._at_work(now))

    @property
    def _num_received(self) -> int:
        """How many labels came from others than judges, who would make queries age faster."""
        return self._state.history.num_submitted - self._state.history.num_judged

    def _at_work(self, now: float) -> int:
        """Return how many tasks keep all labelers at work while an order is drawn."""
        per_s = self._state.history.num_received_since(now - RATE_S, now) / RATE_S
        num_active = len(self._state.active_labelers(now))
        return num_active + math.ceil(per_s * self._orders.typical_s)

    async def offer(self, order_id: str, drafts: Sequence[QueryDraft]) -> int:
        """Answer an order; see `PolicyLoopSide.offer`."""
        if order_id not in self._offers:
            self._offers[order_id] = asyncio.create_task(self._make_queries(order_id, drafts))
        return await asyncio.shield(self._offers[order_id])

    async def _make_queries(self, order_id: str, drafts: Sequence[QueryDraft]) -> int:
        order = self._orders.find(order_id)
        if order is None:
            self._log.warning("offer for an unknown order", order_id=order_id)
            return 0
        queries = []
        for selection in self._maker.choose(order, self._as_learned(drafts)):
            draft = selection.draft
            moment = QueryMoment(
                now=self._clock(),
                labels=self._num_received,
                ledger_seq=self._state.history.last_seq,
                num_wanted=self._orders.labelers_wanted(order.purpose, self._state.num_labelers),
            )
            queries.append(self._maker.make(order, selection, moment))
            oldest = min(rollout.oldest_version for rollout in draft.rollouts)
            self._state.figures.query_made(self._state.policy_version - oldest)
        await self._commits.write_patiently(queries)
        cause = None if queries else why_none(drafts)
        self._orders.answered(order_id, len(queries), now=self._clock(), cause=cause)
        self._state.change.notify()
        if cause is not None:
            told = f"an order brought no query: {cause.found}: {cause.mend}"
            self._log.warning(told, order_id=order_id)
        if not self._state.cord.is_pulled:
            self._orders.refuse_if_barren()
        return len(queries)

    def _as_learned(self, drafts: Sequence[QueryDraft]) -> list[QueryDraft]:
        """Return drafts with heads at the scale of the likelihood: what is sure is sure there."""
        rewards = self._state.rewards
        return [
            each.at_scales(rewards[each.reward_version].learned_scales)
            if each.heads and each.reward_version in rewards
            else each
            for each in drafts
        ]

    async def wait_until_allowed(self, episodes: int) -> float:
        """Block while fewer than l(n) labels have come; see `PolicyLoopSide.wait_until_allowed`."""
        self._state.episodes = max(self._state.episodes, episodes)
        started = time.monotonic()
        self._state.change.notify()
        while (is_full := bool(self._commits.room.want())) or not self._pace.may_step(episodes):
            self._state.refuse_if_closed()
            if self._state.cord.rollback_to is not None:
                break  # the learner does it at the cord, which lets no step pass before
            await self._state.change.wait(POLL_S if is_full else None)
        return time.monotonic() - started
