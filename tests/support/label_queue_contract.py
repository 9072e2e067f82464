"""What the label queue promises the policy loop, in process and in a process of its own."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import pytest

from label_queue.labeling.submissions import LabelAnswer, LabelSubmission
from label_queue.sides.owner import OwnerSide
from label_queue.sides.people import PeopleSide
from label_queue.sides.policy_loop import PolicyLoopSide
from protocol.errors import QueueClosed
from tests.support.contract import Contract
from tests.support.cord import release_shown
from tests.support.labels import make_drafts, make_reward
from tests.support.messages import make_policy, make_request, make_rollout

T = TypeVar("T")
LONG_S = 60.0
"""Longer than any test takes."""


class SidedQueue(Protocol):
    """A label queue, in this process or in its own."""

    @property
    def policy_loop(self) -> PolicyLoopSide: ...

    @property
    def people(self) -> PeopleSide: ...

    @property
    def owner(self) -> OwnerSide: ...


async def fill(queue: SidedQueue) -> None:
    """Be the policy loop until nothing is lacking."""
    while orders := await queue.policy_loop.next_orders(0.0):
        for order in orders:
            assert await queue.policy_loop.offer(order.order_id, make_drafts(order)) > 0


async def label(queue: SidedQueue, count: int) -> None:
    """Be ann, who names the first candidate best."""
    for _ in range(count):
        task = await queue.people.next_task("ann", LONG_S)
        assert task is not None
        choice = task.candidates[0].candidate_id
        first = LabelSubmission(assignment_id=task.assignment_id, outcome="choice", choice=choice)
        [answer] = await queue.people.submit("ann", [first])
        assert isinstance(answer, LabelAnswer)


async def waiting(call: Awaitable[T]) -> asyncio.Future[T]:
    """Begin a call that is to block, and see that it does while another goes through."""
    begun = asyncio.ensure_future(call)
    for _ in range(20):
        await asyncio.sleep(0)
    assert not begun.done()
    return begun


async def end_of(call: asyncio.Future[T]) -> T:
    return await asyncio.wait_for(call, LONG_S)


class LabelQueueContract(Contract):
    """Subclasses give a queue of `make_config()` over 100 episodes: 40 labels, 10 before RL."""

    @abstractmethod
    async def open(self) -> SidedQueue:
        """Open one over an empty ledger."""

    @abstractmethod
    async def close(self, queue: SidedQueue) -> None:
        """Close it. Called twice at times."""

    @pytest.fixture
    async def queue(self) -> AsyncIterator[SidedQueue]:
        queue = await self.open()
        yield queue
        await self.close(queue)

    async def test_orders_come_when_queries_are_wanted(self, queue: SidedQueue) -> None:
        orders = await queue.policy_loop.next_orders(LONG_S)
        assert sum(order.num_queries for order in orders) == 10 + 4
        assert await queue.policy_loop.next_orders(0.0) == []
        more = await waiting(queue.policy_loop.next_orders(LONG_S))
        await queue.policy_loop.set_progress(50, make_policy(1, 50))
        assert sum(order.num_queries for order in await end_of(more)) == 22

    async def test_the_first_answer_to_an_order_counts(self, queue: SidedQueue) -> None:
        [order] = await queue.policy_loop.next_orders(LONG_S)
        drafts = make_drafts(order)
        num_made = order.num_queries - 2
        assert await queue.policy_loop.offer(order.order_id, drafts[2:]) == num_made
        assert await queue.policy_loop.offer(order.order_id, drafts) == num_made
        assert (await queue.policy_loop.stats())["labels/outstanding"] == num_made
        assert await queue.policy_loop.offer("no order of this queue", drafts) == 0

    async def test_the_learner_waits_for_the_labels_of_its_episode(self, queue: SidedQueue) -> None:
        allowed = await waiting(queue.policy_loop.wait_until_allowed(0))
        await fill(queue)
        await label(queue, 9)
        assert not allowed.done()
        await label(queue, 1)
        assert await end_of(allowed) > 0.0
        assert await queue.policy_loop.wait_until_allowed(0) >= 0.0

    async def test_a_rollback_lets_the_learner_through_to_the_cord(self, queue: SidedQueue) -> None:
        await queue.policy_loop.set_progress(10, make_policy(1, 10))
        allowed = await waiting(queue.policy_loop.wait_until_allowed(10))
        await queue.owner.order_rollback(1, "it swears")
        await end_of(allowed)
        assert await queue.policy_loop.pass_cord() == 1

    async def test_the_runs_clock_never_goes_back(self, queue: SidedQueue) -> None:
        await queue.policy_loop.set_progress(50, make_policy(2, 50))
        await queue.policy_loop.set_progress(50, make_policy(2, 50))
        await queue.policy_loop.set_progress(20, make_policy(1, 20))
        assert (await queue.policy_loop.stats())["labels/scheduled"] == 10 + 22

    async def test_a_fit_is_the_same_until_its_reward_is_served(self, queue: SidedQueue) -> None:
        due = await waiting(queue.policy_loop.next_refit())
        await fill(queue)
        await label(queue, 10)
        first = await end_of(due)
        assert (first.kind, first.labels_used, len(first.comparisons)) == ("refit", 10, 10)
        await label(queue, 1)
        assert await queue.policy_loop.next_refit() == first
        reward = make_reward(1, ledger_seq=first.ledger_seq)
        await queue.policy_loop.reward_served(reward)
        await queue.policy_loop.reward_served(reward)
        following = await waiting(queue.policy_loop.next_update())
        await label(queue, 2)
        update = await end_of(following)
        assert (update.kind, update.goes_on_from) == ("warm", 1)
        assert await queue.policy_loop.next_update() == update

    async def test_a_refit_catches_up_with_what_came_meanwhile(self, queue: SidedQueue) -> None:
        await fill(queue)
        await label(queue, 10)
        refit = await queue.policy_loop.next_refit()
        made = make_reward(1, ledger_seq=refit.ledger_seq, learned=range(1, 11))
        assert await queue.policy_loop.catch_up(made) is None
        await label(queue, 1)
        missing = await queue.policy_loop.catch_up(made)
        assert missing is not None
        assert (missing.kind, missing.goes_on_from, missing.labels_used) == ("warm", 1, 11)
        assert await queue.policy_loop.catch_up(made) == missing
        assert await queue.policy_loop.next_refit() == refit  # which is noted once it is served
        await queue.policy_loop.reward_served(made)
        assert await queue.policy_loop.next_update() == missing

    async def test_the_cord_holds_until_it_is_released(self, queue: SidedQueue) -> None:
        assert await queue.policy_loop.pass_cord() is None
        await queue.policy_loop.pull_cord("guard", "the reward turned", 3)
        await queue.policy_loop.pull_cord("ann", "me too", 4)
        cord = await queue.policy_loop.cord()
        assert (cord.is_pulled, cord.pulled_by, cord.reason) == (True, "guard", "the reward turned")
        assert (cord.offered_rollback, cord.rollback_to) == (3, None)
        passing = await waiting(queue.policy_loop.pass_cord())
        left = await waiting(queue.policy_loop.wait_released())
        await release_shown(queue, "mended")
        cord = await queue.policy_loop.cord()
        assert (cord.is_pulled, cord.pulled_by, cord.offered_rollback) == (True, "ann", 4)
        assert not passing.done()
        await queue.owner.release_cord("a typo", cord.reasons[0].pull_id)
        assert await end_of(passing) is None
        await end_of(left)
        assert not (await queue.policy_loop.cord()).is_pulled

    async def test_a_rollback_is_given_out_until_it_is_done_and_the_cord_stays(
        self, queue: SidedQueue
    ) -> None:
        for version in (1, 2, 3):
            await queue.policy_loop.set_progress(10 * version, make_policy(version, 10 * version))
        await queue.policy_loop.pull_cord("ann", "it swears")
        passing = await waiting(queue.policy_loop.pass_cord())
        await queue.owner.order_rollback(2, "it was better then")
        assert await end_of(passing) == 2
        assert await queue.policy_loop.pass_cord() == 2
        restored = replace(make_policy(4, 30), restored_from=2)
        await queue.policy_loop.rolled_back(restored)
        await queue.policy_loop.rolled_back(restored)
        assert (await queue.policy_loop.cord()).rollback_to is None
        passing = await waiting(queue.policy_loop.pass_cord())
        await release_shown(queue, "it is better again")
        assert await end_of(passing) is None

    async def test_references_may_be_given_twice(self, queue: SidedQueue) -> None:
        rollouts = [make_rollout(make_request(number, "reference")) for number in range(4)]
        await queue.policy_loop.add_reference(rollouts)
        await queue.policy_loop.add_reference(rollouts)
        await fill(queue)
        assert (await queue.policy_loop.stats())["labels/outstanding"] == 10 + 4

    async def test_closing_wakes_whoever_waits(self, queue: SidedQueue) -> None:
        await fill(queue)
        calls: list[asyncio.Future[Any]] = [
            await waiting(queue.policy_loop.wait_until_allowed(0)),
            await waiting(queue.policy_loop.next_refit()),
            await waiting(queue.policy_loop.next_update()),
            await waiting(queue.policy_loop.next_orders(LONG_S)),
        ]
        await self.close(queue)
        for call in calls:
            with pytest.raises(QueueClosed):
                await end_of(call)
