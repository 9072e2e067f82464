"""What the policy loop asks of the label queue."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from label_queue.asking.asker import Asker
from label_queue.figures.known_order import KnownPair, known_pairs, lost_votes
from label_queue.figures.validation import ValidationVote, WinRate
from label_queue.fitting.reward_fits import RewardFits
from label_queue.folds.lineage import as_provenance, reference_provenance
from label_queue.ledger.group_commit import GroupCommit
from label_queue.ledger.records import Record
from label_queue.oversight.cord import Cord
from label_queue.schedule import LabelSchedule
from label_queue.state import LabelState
from protocol.cord import CordState
from protocol.fits import FitRequest, RewardVersion
from protocol.labels import QueryDraft, QueryOrder
from protocol.messages import PolicyVersion, Rollout


class PolicyLoopSide:
    """next_orders → offer; wait_until_allowed → pass_cord; next_refit → … → reward_served."""

    def __init__(
        self,
        state: LabelState,
        commits: GroupCommit,
        schedule: LabelSchedule,
        *,
        asker: Asker,
        fits: RewardFits,
        cord: Cord,
        clock: Callable[[], float],
    ) -> None:
        self._state = state
        self._commits = commits
        self._schedule = schedule
        self._asker = asker
        self._fits = fits
        self._cord = cord
        self._clock = clock

    # --- what to ask -------------------------------------------------------------------------

    async def add_reference(self, rollouts: Sequence[Rollout]) -> None:
        """Take responses of ρ for validation queries, half of K or more a prompt.

        Idempotent by rollout id. A queue that is restarted takes them from the run's folder.
        """
        self._asker.add_reference(rollouts)

    async def next_orders(self, timeout_s: float, call: str | None = None) -> list[QueryOrder]:
        """Return what must be drawn so that l(n) + ahead labels stay asked for.

        Blocks until something is lacking, at most `timeout_s` (then: empty). What is returned
        counts as under way until it is answered by `offer` or times out. Idempotent by `call`, the
        caller's name for this one: the last one again gets the first answer; without a name every
        call is another. Raises QueueClosed once the queue is closed.
        """
        return await self._asker.next_orders(timeout_s, call)

    async def offer(self, order_id: str, drafts: Sequence[QueryDraft]) -> int:
        """Answer an order; return how many queries were made of the drafts.

        Idempotent by order_id: the first answer counts, whatever the second brings. Fewer drafts
        than ordered are welcome, and drafts with an unfinished response make no query. An order
        that is not known (it timed out, or the queue was restarted) makes none.

        Raises NothingToAsk once 10 orders in a row have brought no query; while the cord is pulled
        no more are placed then, and they are counted anew once it is released.
        """
        return await self._asker.offer(order_id, drafts)

    # --- whether a step may be taken ---------------------------------------------------------

    async def set_progress(self, episodes: int, policy: PolicyVersion) -> None:
        """Say how far the run is, and what `policy` was made of, on disk at return.

        Idempotent by version; the run's clock never goes back. With the first version that is
        told, version 0 (ρ) is written down too.
        """
        known, now = self._state.policies, self._clock()
        fresh: list[Record] = []
        if 0 not in known and policy.version != 0:
            fresh.append(reference_provenance(now))
        if policy.version not in known:
            fresh.append(as_provenance(policy, now))
        if fresh:
            await self._commits.write_patiently(fresh)
        # Not before: who asks for the labels of this moment asks the policy of this moment.
        self._state.episodes = max(self._state.episodes, episodes)
        self._state.change.notify()

    async def wait_until_allowed(self, episodes: int) -> float:
        """Block while fewer than l(n) labels have come, n = `episodes`; return seconds waited.

        With when_starved = "continue" only the first N₀ are waited for, with "slow" they and half
        of the others. In rounds, at the first
        step of one, until the reward has learned that round's labels too. Blocks too while the
        ledger's disk is full. Returns early when a rollback is ordered, which the learner does at
        the cord. Idempotent. Raises QueueClosed once
        the queue is closed.
        """
        return await self._asker.wait_until_allowed(episodes)

    async def pass_cord(self) -> int | None:
        """Block while the cord is pulled; return None, or the policy version to restore first.

        After a rollback call `rolled_back`, then this again. Raises QueueClosed once the queue is
        closed.
        """
        return await self._cord.pass_by()

    async def wait_released(self) -> None:
        """Block while the cord is pulled, whatever is ordered; see `Cord.wait_released`."""
        await self._cord.wait_released()

    async def pull_cord(
        self,
        actor: str,
        reason: str,
        offered_rollback: int | None = None,
        *,
        guard: str = "",
        evidence: str = "",
    ) -> None:
        """Stop the line, or add a reason for which it stands; see `Cord.pull`."""
        await self._cord.pull(actor, reason, offered_rollback, guard=guard, evidence=evidence)

    async def rolled_back(self, policy: PolicyVersion) -> None:
        """Note that the ordered rollback was done; see `Cord.rolled_back`."""
        await self._cord.rolled_back(policy)

    async def cord(self) -> CordState:
        """Return how the cord hangs."""
        return self._state.cord

    # --- what to learn -----------------------------------------------------------------------

    async def next_refit(self) -> FitRequest:
        """Block until a refit is due and return it; the same one until it is noted.

        By `reward_served`. Due at once when labels that carried more than 2 % of
        what the live reward learned were taken back. Raises QueueClosed once the queue is closed.
        """
        return await self._fits.next_refit()

    async def next_update(self) -> FitRequest:
        """Block until a warm update is due and return it; the same until another version is noted.

        Also while a refit is fitted, unless labels that were taken back have forced it. Raises
        QueueClosed once the queue is closed.
        """
        return await self._fits.next_update()

    async def catch_up(self, refit: RewardVersion) -> FitRequest | None:
        """Return the warm update of what a refit, made and not served yet, has not learned.

        None: there is nothing to learn, or a refit is forced. Nothing is noted: once the update is
        served, `reward_served` is told of the refit first. May be called twice.
        """
        return await self._fits.catch_up(refit)

    async def reward_served(self, version: RewardVersion) -> None:
        """Take the announcement of a reward version, on disk at return. Idempotent by version."""
        await self._fits.reward_served(version)

    # --- figures -----------------------------------------------------------------------------

    async def first_sampled(self, version: int, at: float) -> None:
        """Note when the first rollout of a policy version came; the earliest time told counts."""
        self._state.figures.first_sampled(version, at)

    async def tell_activity(self, words: str) -> None:
        """Say what the run is doing now, for the owner's page."""
        if words != self._state.activity:
            self._state.activity = words
            self._state.change.notify()

    async def want_of_room(self) -> str:
        """Return what people must do because the ledger's disk is full; "" while it is not.

        Noted for the owner's page, too.
        """
        words = self._commits.room.want()
        if words != self._state.trouble:
            self._state.trouble = words
            self._state.change.notify()
        return words

    async def stats(self) -> dict[str, float]:
        """Return the metrics on the axis `labels/seq` that are defined by now."""
        scheduled = self._schedule.wanted(self._state.episodes)
        stats = self._state.stats(self._clock(), scheduled)
        return {**stats, **self._state.outside.stats()}

    async def online_stats(self) -> dict[str, float]:
        """Return the metrics on the axis `policy/step` that are defined by now, axis left out."""
        return await self._state.online_stats()

    async def ledger_commit_p95_s(self) -> float:
        """Return the 95th percentile of recent commits, in seconds; 0 before the first."""
        return self._commits.commit_p95_s

    async def winrate(self, last: int | None = None) -> WinRate:
        """Return π's win rate over ρ on validation labels, of all or of the newest `last`.

        The newest are those on the policy as it is now.
        """
        return self._state.figures.winrate(last)

    async def validation_votes(self) -> tuple[ValidationVote, ...]:
        """Return all choices between π, as it is now, and ρ that count, in the ledger's order.

        None is on a version that a rollback left behind.
        """
        return tuple(self._state.figures.votes_on_now())

    async def lost_votes(self, most: int) -> tuple[KnownPair, ...]:
        """Return the newest of them that π lost, with what was shown."""
        view, table = self._state.view(), self._state.history.table()
        left = self._state.figures.left_behind()

        def find() -> tuple[KnownPair, ...]:
            return tuple(lost_votes(view.queries, view.counting(table), most, left))

        # All labels are gone through, and old texts read from the ledger.
        return await asyncio.to_thread(find)

    async def known_pairs(self, most: int, least_votes: int) -> tuple[KnownPair, ...]:
        """Return pairs of known order: by gold, or where so many labelers agree on one best."""
        view, table = self._state.view(), self._state.history.table()
        retired = self._state.history.standings.gold.retired()

        def find() -> tuple[KnownPair, ...]:
            labels = view.counting(table)
            found = known_pairs(
                view.queries, labels, most=most, least_votes=least_votes, retired=retired
            )
            return tuple(found)

        return await asyncio.to_thread(find)

    async def coverage(self) -> tuple[float, ...]:
        """Return, for each query made since the first reward version, how much it had learned."""
        return await self._state.coverage()
