"""The label queue as the controller sees it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from label_queue.config import LeaseConfig
from label_queue.folds.access import Identity
from label_queue.queue import LabelQueue
from protocol.errors import QueueClosed
from protocol.fits import FitRequest, RewardVersion
from protocol.seq_ranges import as_ranges
from tests.support.labels import (
    ManualClock,
    make_config,
    make_reward,
)
from tests.support.memory_ledger import MemoryLedger
from tests.support.messages import make_policy
from tests.support.metric_proofs import proves
from tests.support.present import present
from tests.unit.label_queue.conftest import MakeQueue
from tests.unit.label_queue.labeling import answer_orders, label, submit

# --- the schedule ------------------------------------------------------------------------------


async def test_the_learner_waits_for_l_of_n_labels(queue: LabelQueue) -> None:
    waiting = asyncio.create_task(queue.policy_loop.wait_until_allowed(0))
    await answer_orders(queue)
    await label(queue, 9)
    assert not waiting.done()
    await label(queue, 1)
    assert await waiting > 0.0
    assert await queue.policy_loop.wait_until_allowed(0) == pytest.approx(0.0, abs=0.05)


async def test_waiting_at_an_episode_asks_for_its_labels(queue: LabelQueue) -> None:
    await answer_orders(queue)
    await label(queue, 14)
    waiting = asyncio.create_task(queue.policy_loop.wait_until_allowed(50))
    await asyncio.sleep(0)
    assert sum(await answer_orders(queue)) == 22
    await label(queue, 32 - 14)
    assert await waiting > 0.0


async def test_a_starved_run_may_go_on_after_the_first_labels(make_queue: MakeQueue) -> None:
    queue = make_queue(make_config(when_starved="continue"))
    await answer_orders(queue)
    await label(queue, 10)
    assert await queue.policy_loop.wait_until_allowed(100) == pytest.approx(0.0, abs=0.05)


async def test_a_starved_run_may_be_slowed_to_twice_what_labels_allow(
    make_queue: MakeQueue,
) -> None:
    queue = make_queue(make_config(when_starved="slow"))
    await answer_orders(queue)
    waiting = asyncio.create_task(queue.policy_loop.wait_until_allowed(0))
    await label(queue, 9)
    assert not waiting.done()
    await label(queue, 1)
    await waiting
    waiting = asyncio.create_task(queue.policy_loop.wait_until_allowed(50))  # l(50) = 32
    await asyncio.sleep(0)
    await answer_orders(queue)
    await label(queue, 10)
    assert not waiting.done()
    await label(queue, 1)
    await waiting
    assert (await queue.policy_loop.stats())["labels/deficit"] == 32 - 21


async def test_labels_without_a_preference_do_not_count(queue: LabelQueue) -> None:
    waiting = asyncio.create_task(queue.policy_loop.wait_until_allowed(0))
    await answer_orders(queue)
    await label(queue, 10, outcome="both_bad")
    assert not waiting.done()
    waiting.cancel()
    assert (await queue.policy_loop.stats())["labels/accepted"] == 10


# --- retraining --------------------------------------------------------------------------------


async def test_fits_are_due_at_the_points_and_between(queue: LabelQueue) -> None:
    waiting = asyncio.create_task(queue.policy_loop.next_refit())
    await answer_orders(queue)
    await label(queue, 10)
    first = await waiting
    assert (first.kind, first.ledger_seq, first.labels_used) == ("refit", 10, 10)
    assert [comparison.seq for comparison in first.comparisons] == list(range(1, 11))
    await label(queue, 2)
    assert await queue.policy_loop.next_refit() == first  # the same until it is served
    await queue.policy_loop.reward_served(make_reward(1, ledger_seq=10))
    await queue.policy_loop.reward_served(make_reward(1, ledger_seq=10))
    warm = asyncio.create_task(queue.policy_loop.next_update())
    await asyncio.sleep(0)
    assert not warm.done()
    await label(queue, 1)
    update = await warm
    assert (update.kind, update.ledger_seq, update.labels_used) == ("warm", 13, 13)
    assert [c.seq for c in update.comparisons if c.seq > 10] == [11, 12, 13]
    assert len(update.comparisons) == 6


async def due_again(queue: LabelQueue) -> FitRequest:
    """Bring a queue to its second refit, ten labels after the first; return that order."""
    loop = queue.policy_loop
    await answer_orders(queue)
    await label(queue, 10)
    await loop.next_refit()
    await loop.reward_served(make_reward(1, ledger_seq=10, learned=range(1, 11)))
    await loop.set_progress(100, make_policy(1))
    await answer_orders(queue)
    await label(queue, 10)
    return await loop.next_refit()


async def test_updates_go_on_while_a_refit_is_fitted_and_it_catches_up(
    queue: LabelQueue, ledger: MemoryLedger
) -> None:
    loop = queue.policy_loop
    refit = await due_again(queue)
    update = await loop.next_update()
    assert (refit.ledger_seq, update.ledger_seq, update.goes_on_from) == (20, 20, 1)
    learned = [each.seq for each in update.comparisons]
    await loop.reward_served(make_reward(2, ledger_seq=20, kind="warm", learned=learned))
    assert await loop.next_refit() == refit
    await label(queue, 2)
    waiting = asyncio.create_task(loop.next_update())
    made = make_reward(3, ledger_seq=20, learned=range(1, 21))
    missing = present(await loop.catch_up(made))
    assert (missing.kind, missing.goes_on_from, missing.labels_used) == ("warm", 3, 22)
    assert {each.seq for each in missing.comparisons} >= {21, 22}
    assert [each.version for each in ledger.read(RewardVersion)] == [1, 2]
    await loop.reward_served(made)
    assert await waiting == missing  # it is what is due
    learned = [each.seq for each in missing.comparisons]
    await loop.reward_served(make_reward(4, ledger_seq=22, kind="warm", learned=learned))
    nothing = [asyncio.create_task(each) for each in (loop.next_refit(), loop.next_update())]
    await asyncio.sleep(0.05)
    assert not any(each.done() for each in nothing)
    for each in nothing:
        each.cancel()


async def test_a_refit_whose_update_is_never_served_is_as_if_it_had_not_been(
    queue: LabelQueue, ledger: MemoryLedger
) -> None:
    loop = queue.policy_loop
    refit = await due_again(queue)
    await label(queue, 2)
    made = make_reward(2, ledger_seq=20, learned=range(1, 21))
    assert present(await loop.catch_up(made)).goes_on_from == 2
    assert [each.version for each in ledger.read(RewardVersion)] == [1]
    assert await loop.next_refit() == refit
    assert (await loop.next_update()).goes_on_from == 1
    assert present(await loop.catch_up(replace(made, version=4))).goes_on_from == 4


async def test_a_refit_that_lacks_nothing_is_served_as_it_is(
    queue: LabelQueue, ledger: MemoryLedger
) -> None:
    await answer_orders(queue)
    await label(queue, 10)
    await queue.policy_loop.next_refit()
    refit = make_reward(1, ledger_seq=10, learned=range(1, 11))
    assert await queue.policy_loop.catch_up(refit) is None
    assert not ledger.read(RewardVersion)


async def test_an_update_of_a_model_that_is_live_no_more_is_ordered_anew(queue: LabelQueue) -> None:
    loop = queue.policy_loop
    await answer_orders(queue)
    await label(queue, 10)
    await loop.next_refit()
    await loop.reward_served(make_reward(1, ledger_seq=10, learned=range(1, 11)))
    await label(queue, 4)
    stale = await loop.next_update()
    await loop.reward_served(make_reward(2, ledger_seq=10, learned=range(1, 11)))
    fresh = await loop.next_update()
    assert (stale.goes_on_from, fresh.goes_on_from) == (1, 2)


async def test_offline_fits_once_on_all_labels(make_queue: MakeQueue) -> None:
    queue = make_queue(mode="offline")
    await answer_orders(queue)
    await label(queue, 40)
    assert (await queue.policy_loop.next_refit()).labels_used == 40
    await queue.policy_loop.reward_served(make_reward(1, ledger_seq=40))
    frozen = asyncio.create_task(queue.policy_loop.next_refit())
    await asyncio.sleep(0)
    assert not frozen.done()
    frozen.cancel()
    assert (await queue.people.run_info("ann")).is_closed


async def test_offline_what_is_asked_for_in_the_place_of_what_was_taken_back_is_learned(
    make_queue: MakeQueue,
) -> None:
    queue = make_queue(mode="offline")
    loop = queue.policy_loop
    await answer_orders(queue)
    await label(queue, 40)
    await loop.next_refit()
    await loop.reward_served(make_reward(1, ledger_seq=40, learned=range(1, 41)))
    again = asyncio.create_task(loop.next_refit())
    last = (await queue.people.me("ann")).last
    assert last is not None
    await submit(queue, replace(last.submission, revision=1, outcome="skip", choice=None))
    await asyncio.sleep(0)
    assert await answer_orders(queue) == [1]
    assert not again.done()
    await label(queue, 1)
    request = await asyncio.wait_for(again, 60.0)
    assert [each.seq for each in request.comparisons] == [*range(1, 40), 42]


@proves(
    "online/coverage",
    "online/label_to_policy_latency_p50",
    "online/label_to_policy_latency_p95",
    "online/query_policy_lag",
)
async def test_coverage_and_latency_follow_the_labels_to_the_policy(
    queue: LabelQueue, clock: ManualClock
) -> None:
    await answer_orders(queue)
    await label(queue, 10)
    await queue.policy_loop.next_refit()
    await label(queue, 1)
    await label(queue, 1, outcome="skip")
    clock.now += 30.0
    await queue.policy_loop.reward_served(make_reward(1, ledger_seq=10))
    await queue.policy_loop.set_progress(50, make_policy(3))
    await answer_orders(queue, version=3)
    # Of the 11 that state a preference the fit had ten on its list.
    assert set(await queue.policy_loop.coverage()) == {10 / 11}
    await queue.policy_loop.first_sampled(3, clock.now + 10.0)
    assert await queue.policy_loop.online_stats() == {
        "online/coverage": 10 / 11,
        "online/label_to_policy_latency_p50": 40.0,
        "online/label_to_policy_latency_p95": 40.0,
        "online/query_policy_lag": 0.0,
    }


async def test_a_version_that_does_not_say_its_list_has_that_of_the_fit_it_was_ordered_by(
    queue: LabelQueue, ledger: MemoryLedger, clock: ManualClock
) -> None:
    await answer_orders(queue)
    await label(queue, 10)
    await queue.policy_loop.next_refit()
    clock.now += 30.0
    await queue.policy_loop.reward_served(make_reward(1, ledger_seq=10))
    await label(queue, 3)
    warm = await queue.policy_loop.next_update()
    await queue.policy_loop.reward_served(make_reward(2, ledger_seq=13, kind="warm"))
    first, second = ledger.read(RewardVersion)
    assert (first.learned, first.announced_at) == (((1, 10),), 1_030.0)
    assert second.learned == as_ranges(each.seq for each in warm.comparisons)
    # What a warm update replays is no more than was learned.
    assert warm.labels_used == 13


async def test_as_many_new_labels_as_were_taken_back_are_learned_all_the_same(
    queue: LabelQueue, make_queue: MakeQueue
) -> None:
    loop = queue.policy_loop
    await answer_orders(queue)
    await label(queue, 10)
    await loop.next_refit()
    await loop.reward_served(make_reward(1, ledger_seq=10, learned=range(1, 11)))
    last = (await queue.people.me("ann")).last
    assert last is not None
    await submit(queue, replace(last.submission, revision=1, outcome="skip", choice=None))
    await answer_orders(queue)
    await label(queue, 3)
    update = await asyncio.wait_for(loop.next_update(), 60.0)
    assert [each.seq for each in update.comparisons if each.seq > 10] == [12, 13, 14]
    again = await asyncio.wait_for(make_queue().policy_loop.next_update(), 60.0)
    assert again.comparisons == update.comparisons


async def test_a_revised_label_is_learned_anew_and_counts_once(queue: LabelQueue) -> None:
    await answer_orders(queue)
    await label(queue, 10)
    await queue.policy_loop.next_refit()
    await queue.policy_loop.reward_served(make_reward(1, ledger_seq=10))
    last = (await queue.people.me("ann")).last
    assert last is not None
    await submit(queue, replace(last.submission, revision=1, outcome="tie", choice=None))
    await label(queue, 3)
    update = await queue.policy_loop.next_update()
    new = [each.seq for each in update.comparisons if each.seq > 10]
    assert (update.kind, new, update.labels_used) == ("warm", [11, 12, 13, 14], 13)


# --- the whole ---------------------------------------------------------------------------------


async def test_stats_share_one_axis_and_say_how_labelling_stands(
    queue: LabelQueue, clock: ManualClock
) -> None:
    assert "labels/tie_rate" not in await queue.policy_loop.stats()
    await answer_orders(queue)
    clock.now += 5.0
    await label(queue, 3)
    await label(queue, 1, outcome="tie")
    stats = await queue.policy_loop.stats()
    expected = {
        "labels/seq": 4,
        "labels/received": 4,
        "labels/accepted": 4,
        "labels/counted": 4,
        "labels/scheduled": 10,
        "labels/deficit": 6,
        "labels/outstanding": 10,
        "labels/tie_rate": 0.25,
        "labels/rate_per_min": 4,
        "labels/latency_p95": 5.0,
        "labels/first_position_rate": 1.0,
        "labelers/max_share": 1.0,
    }
    assert {name: stats[name] for name in expected} == expected
    assert await queue.policy_loop.ledger_commit_p95_s() > 0.0


@proves("labelers/active")
async def test_labelers_are_active_while_they_hold_a_task_or_gave_a_label_lately(
    make_queue: MakeQueue, clock: ManualClock
) -> None:
    queue = make_queue(make_config(lease=LeaseConfig(first_s=600.0)))
    await queue.owner.add_labeler("absent")
    await answer_orders(queue)

    async def num_active() -> float:
        return (await queue.policy_loop.stats())["labelers/active"]

    assert await num_active() == 0
    await label(queue, 2, "ann")
    assert await queue.people.next_task("bob", 0.0) is not None
    assert await num_active() == 2
    clock.now += 300.0
    assert await num_active() == 1  # ann's labels are too old, bob still holds his
    clock.now += 300.0
    assert await num_active() == 0


async def test_a_restart_goes_on_where_the_ledger_ends(make_queue: MakeQueue) -> None:
    first = make_queue(make_config(overlap_share=0.2))
    token = await first.owner.add_labeler("ann")
    await first.owner.add_labeler("bob")
    await answer_orders(first)
    await label(first, 4)
    await answer_orders(first)
    before = await first.policy_loop.stats()
    second = make_queue(make_config(overlap_share=0.2))
    after = await second.policy_loop.stats()
    assert after == before
    assert await second.people.authenticate(token) == Identity(labeler_id="ann", role="labeler")
    assert await second.policy_loop.next_orders(0.0) == []
    await label(second, 4)


async def test_closing_wakes_all_who_wait(queue: LabelQueue) -> None:
    waiting = [
        asyncio.create_task(queue.policy_loop.wait_until_allowed(0)),
        asyncio.create_task(queue.policy_loop.next_refit()),
    ]
    task = asyncio.create_task(queue.people.next_task("ann", 30.0))
    await asyncio.sleep(0)
    await queue.close()
    for waiter in waiting:
        with pytest.raises(QueueClosed, match="closed"):
            await waiter
    assert await task is None
    with pytest.raises(QueueClosed):
        await queue.policy_loop.next_orders(0.0)
