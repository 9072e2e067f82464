"""The label queue: sole owner of the ledger, between the policy loop and the people.

    controller   next_orders → offer          which comparisons to ask, by the label schedule
                 wait_until_allowed           holds the learner while people are behind it
                 next_fit → learned           refits and warm updates of the reward model
    intake       next_task → submit           leases to labelers; durable before acknowledged

One asyncio class: all state changes on one event loop, in the ledger's order. What is in memory
is a fold over the ledger, rebuilt at the start; only the orders under way, the leases' renewals,
the reference responses and the moving figures must be given anew after a crash.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Callable, Sequence

import structlog
from uuid6 import uuid7

from label_queue.access import token_sha256
from label_queue.asking import NEVER_ENDS, OrderBook, QueryMaker, QueryMoment
from label_queue.config import LabelsConfig
from label_queue.desk import LabelingDesk
from label_queue.figures import WinRate
from label_queue.group_commit import GroupCommit
from label_queue.intake.schemas import LabelAnswer, LabelSubmission, RunInfo, Task
from label_queue.ledger import (
    LabelerToken,
    Ledger,
    Record,
    build_dataset,
    exclusions,
    exclusions_sha256,
)
from label_queue.reference_pool import ReferencePool
from label_queue.retraining import RetrainingPlan, make_request
from label_queue.schedule import LabelSchedule
from label_queue.selection import make_selector
from label_queue.state import LabelState
from protocol.errors import LabelError
from protocol.labels import (
    ComparisonQuery,
    DatasetRules,
    FitKind,
    FitRequest,
    QueryDraft,
    QueryOrder,
    RewardVersion,
)
from protocol.messages import PolicyVersion, Rollout

POLL_S = 1.0
"""Leases and orders run out without an event: those who wait look again this often."""


def new_uuid7() -> str:
    """Return a time-ordered id."""
    return str(uuid7())


class LabelQueue:
    """See the module. Methods neither block the event loop nor need a lock around them."""

    def __init__(
        self,
        ledger: Ledger,
        config: LabelsConfig,
        schedule: LabelSchedule,
        *,
        run_id: str,
        seed: int,
        clock: Callable[[], float] = time.time,
        new_id: Callable[[], str] = new_uuid7,
    ) -> None:
        """Take over a ledger and fold it into the present. The ledger is closed by `close`."""
        self._config = config
        self._schedule = schedule
        self._seed = seed
        self._clock = clock
        self._log = structlog.get_logger().bind(component="label_queue", run_id=run_id)
        rng = random.Random(seed)
        selector = make_selector(config)
        self._pool = ReferencePool(per_query=config.num_candidates // 2, rng=rng)
        self._orders = OrderBook(
            config, pool_factor=selector.pool_factor, pool=self._pool, new_id=new_id
        )
        self._maker = QueryMaker(
            config, run_id=run_id, selector=selector, pool=self._pool, new_id=new_id, rng=rng
        )
        self._state = LabelState(config, schedule, clock)
        self._state.load(ledger)
        for query in self._state.board.queries.values():
            self._orders.made(query.purpose)
        self._commits = GroupCommit(ledger, self._apply)
        self._desk = LabelingDesk(
            self._state,
            self._commits,
            config,
            schedule,
            run_id=run_id,
            rng=rng,
            clock=clock,
            new_id=new_id,
        )
        self._plan = RetrainingPlan(schedule, config.warm)
        self._policy_version = 0
        self._reward_version = 0
        self._offers: dict[str, asyncio.Task[int]] = {}
        self._fit_lock = asyncio.Lock()
        self._pending_fit: FitRequest | None = None
        self._pending_labels = 0

    def _apply(self, record: Record) -> None:
        self._state.apply(record)
        if isinstance(record, ComparisonQuery):
            self._orders.made(record.purpose)

    # --- the controller's side ---------------------------------------------------------------

    async def add_reference(self, rollouts: Sequence[Rollout]) -> None:
        """Take responses of ρ for validation queries, half of K or more a prompt.

        Idempotent by rollout id. After a restart they must be given again.
        """
        self._pool.add(rollouts)
        self._state.change.notify()

    async def next_orders(self, timeout_s: float) -> list[QueryOrder]:
        """Return what must be drawn so that l(n) + ahead labels stay asked for.

        Blocks until something is lacking, at most `timeout_s` (then: empty). Not idempotent: what
        is returned counts as under way until it is answered by `offer` or times out. Raises
        LoopEnded once the queue is closed.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            self._state.refuse_if_closed()
            now = self._clock()
            self._state.board.expire(now, self._state.history.num_submitted)
            lacking = self._lacking(now)
            if lacking > 0:
                return self._orders.place(
                    lacking,
                    now=now,
                    num_labelers=len(self._state.access.labelers),
                    with_validation=self._policy_version > 0,
                )
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return []
            await self._state.change.wait(min(remaining, POLL_S))

    def _lacking(self, now: float) -> int:
        """Return how many answers to ask for now; few at a time are left to gather.

        A query somebody has answered holds back no other: the rest of its answers may never come.
        """
        asked = (
            self._state.history.num_preferences
            + self._state.board.slots_to_come
            + self._orders.outstanding_slots(now)
        )
        left = self._schedule.total - asked
        lacking = min(
            self._schedule.wanted(self._state.episodes) + self._config.ahead - asked, left
        )
        # Never more than `ahead`, or the learner could wait for labels nobody was asked for.
        gather = max(1, self._config.ahead // 8)
        return lacking if lacking >= min(gather, left) else 0

    async def offer(self, order_id: str, drafts: Sequence[QueryDraft]) -> int:
        """Answer an order; return how many queries were made of the drafts.

        Idempotent by order_id: the first answer counts, whatever the second brings. Fewer drafts
        than ordered are welcome, and drafts with an unfinished response make no query. An order
        that is not known (it timed out, or the queue was restarted) makes none.

        Raises InputError once 10 orders in a row have brought no query.
        """
        if order_id not in self._offers:
            self._offers[order_id] = asyncio.create_task(self._make_queries(order_id, drafts))
        return await asyncio.shield(self._offers[order_id])

    async def _make_queries(self, order_id: str, drafts: Sequence[QueryDraft]) -> int:
        order = self._orders.find(order_id)
        if order is None:
            self._log.warning("offer for an unknown order", order_id=order_id)
            return 0
        queries = []
        for selection in self._maker.choose(order, drafts):
            draft = selection.draft
            moment = QueryMoment(
                now=self._clock(),
                labels=self._state.history.num_submitted,
                learned_labels=self._state.history.submitted_through(draft.learned_through),
                num_wanted=self._orders.labelers_wanted(
                    order.purpose, len(self._state.access.labelers)
                ),
            )
            queries.append(self._maker.make(order, selection, moment))
            oldest = min(rollout.oldest_version for rollout in draft.rollouts)
            self._state.figures.query_made(self._policy_version - oldest)
        await self._commits.write(queries)
        self._orders.answered(order_id, len(queries), now=self._clock())
        self._state.change.notify()
        if not queries:
            self._log.warning(f"an order brought no query: {NEVER_ENDS}", order_id=order_id)
        self._orders.refuse_if_barren()
        return len(queries)

    async def set_progress(self, episodes: int, policy: PolicyVersion) -> None:
        """Say how far the run is. Idempotent; the run's clock never goes back."""
        self._state.episodes = max(self._state.episodes, episodes)
        self._policy_version = max(self._policy_version, policy.version)
        self._state.change.notify()

    async def wait_until_allowed(self, episodes: int) -> float:
        """Block while fewer than l(n) labels have come, n = `episodes`; return seconds waited.

        With when_starved = "continue" only the first N₀ are waited for. Idempotent. Raises
        LoopEnded once the queue is closed.
        """
        self._state.episodes = max(self._state.episodes, episodes)
        wanted = self._schedule.wanted(episodes)
        if self._config.when_starved == "continue":
            wanted = self._schedule.initial
        started = time.monotonic()
        self._state.change.notify()
        while self._state.history.num_preferences < wanted:
            self._state.refuse_if_closed()
            await self._state.change.wait()
        return time.monotonic() - started

    async def next_fit(self) -> FitRequest:
        """Block until a fit is due and return it; the same one until `learned` is called.

        A refit from scratch wins over a warm update. Raises LoopEnded once the queue is closed.
        """
        async with self._fit_lock:
            while self._pending_fit is None:
                self._state.refuse_if_closed()
                labels, now = self._state.history.num_preferences, self._clock()
                kind = self._plan.due(labels, now)
                if kind is None:
                    await self._state.change.wait(self._plan.next_check_s(labels, now))
                else:
                    self._pending_labels = labels
                    self._pending_fit = await self._request(kind)
            return self._pending_fit

    async def _request(self, kind: FitKind) -> FitRequest:
        rules = DatasetRules()
        events, seq = list(self._state.history.events), self._state.history.last_seq
        # In a thread, since with tens of thousands of labels it takes a while.
        dataset = await asyncio.to_thread(
            build_dataset, self._state.board.queries, events, seq, rules
        )
        return make_request(
            kind,
            dataset,
            seq=seq,
            learned_seq=self._plan.learned_seq,
            exclusions_sha256=exclusions_sha256(exclusions(events, rules)),
            replay=self._config.warm.replay,
            seed=self._seed,
        )

    async def learned(self, version: RewardVersion) -> None:
        """Take the announcement of a reward version. Idempotent by version."""
        if version.version <= self._reward_version:
            return
        pending = self._pending_fit
        is_pending = pending is not None and pending.ledger_seq == version.ledger_seq
        now = self._clock()
        self._plan.learned(
            version.kind,
            labels=self._pending_labels if is_pending else version.labels_used,
            seq=version.ledger_seq,
            now=now,
        )
        self._reward_version = version.version
        self._pending_fit = None
        self._state.figures.first_learned_at = min(self._state.figures.first_learned_at, now)
        self._state.change.notify()

    async def reached_policy(self, learned_through: int, at: float) -> None:
        """Note when the first rollout came, `at`, of a policy that learned up to that `seq`."""
        self._state.figures.reached_policy(learned_through, at)

    async def stats(self) -> dict[str, float]:
        """Return the metrics on the axis `labels/seq` that are defined by now."""
        scheduled = self._schedule.wanted(self._state.episodes)
        return self._state.figures.stats(now=self._clock(), scheduled=scheduled)

    async def online_stats(self) -> dict[str, float]:
        """Return the metrics on the axis `policy/step` that are defined by now, axis left out."""
        return self._state.figures.online_stats()

    async def ledger_commit_p95_s(self) -> float:
        """Return the 95th percentile of recent commits, in seconds; 0 before the first."""
        return self._commits.commit_p95_s

    async def winrate(self, last: int | None = None) -> WinRate:
        """Return π's win rate over ρ on validation labels, of all or of the newest `last`."""
        return self._state.figures.winrate(last)

    async def coverage(self) -> tuple[float, ...]:
        """Return, for each query made since the first reward version, how much it had learned."""
        return self._state.figures.coverage()

    async def add_labeler(self, name: str) -> str:
        """Return a new token for a labeler, who is made if need be. Only its digest is kept.

        Not idempotent: each call gives another token, and those before stay good.
        """
        token = secrets.token_urlsafe(32)
        now, ttl_s = self._clock(), self._config.intake.token_ttl_s
        await self._commits.write(
            [
                LabelerToken(
                    token_sha256=token_sha256(token),
                    labeler_id=name,
                    created_at=now,
                    expires_at=None if ttl_s is None else now + ttl_s,
                )
            ]
        )
        return token

    async def close(self) -> None:
        """Finish what is being written, let go of the ledger and wake all who wait. Idempotent."""
        if not self._state.is_closed:
            self._state.is_closed = True
            self._state.change.notify()
            await self._commits.close()

    # --- the people's side, which the intake calls ---------------------------------------------

    async def authenticate(self, token: str) -> str:
        """Return the labeler a token belongs to. Raises Unauthenticated."""
        return self._state.access.authenticate(token)

    async def next_task(self, labeler_id: str, wait_s: float) -> Task | None:
        """Lease a query to a labeler; see `LabelingDesk.next_task`."""
        return await self._desk.next_task(labeler_id, wait_s)

    async def submit(
        self, labeler_id: str, submissions: Sequence[LabelSubmission]
    ) -> list[LabelAnswer | LabelError]:
        """Take labels, durable at return; see `LabelingDesk.submit`."""
        return await self._desk.submit(labeler_id, submissions)

    async def heartbeat(self, labeler_id: str, assignment_id: str) -> float:
        """Renew a lease; see `LabelingDesk.heartbeat`."""
        return await self._desk.heartbeat(labeler_id, assignment_id)

    async def reject(self, labeler_id: str, error: LabelError, payload: str) -> None:
        """Count a body refused at the door; see `LabelingDesk.reject`."""
        await self._desk.reject(labeler_id, error, payload)

    async def run_info(self) -> RunInfo:
        """Return what labelers may know of the run."""
        return await self._desk.run_info()
