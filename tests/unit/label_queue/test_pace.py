"""Rounds: when drafts are asked for, of whom, and when the learner may go on."""

from __future__ import annotations

import asyncio

import pytest

from label_queue.queue import LabelQueue
from protocol.fits import FitRequest
from tests.support.labels import make_config, make_reward
from tests.support.messages import make_policy
from tests.unit.label_queue.conftest import MakeQueue
from tests.unit.label_queue.labeling import answer_orders, label


@pytest.fixture
def rounds(make_queue: MakeQueue) -> LabelQueue:
    """Labels 10, 20, 30 and 40 in rounds that begin at 0, 25, 50 and 75 of 100 episodes."""
    return make_queue(make_config(rounds=4), mode="batched")


async def fit(queue: LabelQueue, version: int) -> FitRequest:
    request = await queue.policy_loop.next_refit()
    await queue.policy_loop.reward_served(make_reward(version, ledger_seq=request.ledger_seq))
    return request


async def may_step(queue: LabelQueue, episodes: int) -> bool:
    waiting = asyncio.create_task(queue.policy_loop.wait_until_allowed(episodes))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    is_allowed = waiting.done()
    waiting.cancel()
    return is_allowed


async def test_a_round_asks_for_its_labels_and_for_none_ahead(rounds: LabelQueue) -> None:
    assert await answer_orders(rounds) == [10]
    await label(rounds, 9)
    await label(rounds, 1, outcome="skip")
    assert await answer_orders(rounds) == [1]


async def test_the_learner_waits_until_the_round_is_learned(rounds: LabelQueue) -> None:
    await answer_orders(rounds)
    await label(rounds, 9)
    assert not await may_step(rounds, 0)
    await label(rounds, 1)
    assert not await may_step(rounds, 0)  # the labels have come, the reward has not
    request = await fit(rounds, 1)
    assert (request.kind, request.is_sole, request.labels_used) == ("refit", True, 10)
    assert await may_step(rounds, 0)


async def test_between_rounds_nothing_is_asked_waited_for_or_fitted(rounds: LabelQueue) -> None:
    await answer_orders(rounds)
    await label(rounds, 10)
    await fit(rounds, 1)
    for version, episodes in enumerate((8, 16, 24), start=1):
        await rounds.policy_loop.set_progress(episodes, make_policy(version, episodes))
        assert await rounds.policy_loop.next_orders(0.0) == []
        assert await may_step(rounds, episodes)
    fitting = asyncio.create_task(rounds.policy_loop.next_refit())
    await asyncio.sleep(0)
    assert not fitting.done()
    fitting.cancel()


async def test_the_next_round_asks_the_policy_that_begins_it(rounds: LabelQueue) -> None:
    await answer_orders(rounds)
    await label(rounds, 10)
    await fit(rounds, 1)
    await rounds.policy_loop.set_progress(24, make_policy(1, 24))
    await rounds.policy_loop.set_progress(32, make_policy(2, 32))
    [order] = await rounds.policy_loop.next_orders(0.0)
    assert (order.num_queries, order.least_version) == (10, 2)
    assert not await may_step(rounds, 32)


async def test_a_round_asks_nobody_before_its_policy_is_on_disk(rounds: LabelQueue) -> None:
    await answer_orders(rounds)
    await label(rounds, 10)
    await fit(rounds, 1)
    ordering = asyncio.create_task(rounds.policy_loop.next_orders(60.0))
    await asyncio.sleep(0)
    telling = asyncio.create_task(rounds.policy_loop.set_progress(32, make_policy(1, 32)))
    await rounds.policy_loop.tell_activity("training")  # wakes whoever waits
    [order] = await ordering
    assert order.least_version == 1
    await telling


async def test_labels_taken_back_in_between_are_made_up_for_in_the_next_round(
    rounds: LabelQueue,
) -> None:
    await answer_orders(rounds)
    await label(rounds, 8)
    await label(rounds, 2, "bob")
    await fit(rounds, 1)
    await rounds.policy_loop.set_progress(16, make_policy(1, 16))
    await rounds.owner.exclude("bob", 0, "clicks")
    forced = await fit(rounds, 2)
    assert (forced.is_forced, forced.labels_used) == (True, 8)
    assert await rounds.policy_loop.next_orders(0.0) == []
    assert await may_step(rounds, 16)
    await rounds.policy_loop.set_progress(32, make_policy(2, 32))
    assert await answer_orders(rounds, version=2) == [12]
    await label(rounds, 12)
    assert (await fit(rounds, 3)).labels_used == 20
    assert await may_step(rounds, 32)


async def test_against_a_fixed_reward_nobody_is_asked_and_it_is_given_out_once(
    make_queue: MakeQueue,
) -> None:
    queue = make_queue(mode="fixed")
    assert await queue.policy_loop.next_orders(0.0) == []
    request = await fit(queue, 1)
    assert (request.kind, request.ledger_seq, request.comparisons) == ("refit", 0, ())
    again = asyncio.create_task(queue.policy_loop.next_refit())
    await asyncio.sleep(0)
    assert not again.done()
    again.cancel()
    assert await may_step(queue, 0)
    assert await may_step(queue, 99)
