"""The label queue as the controller sees it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from label_queue.queue import LabelQueue
from protocol.errors import LoopEnded, NotFinite
from tests.support.labels import (
    ManualClock,
    count_purposes,
    make_config,
    make_draft,
    make_drafts,
    make_reward,
)
from tests.support.memory_ledger import MemoryLedger
from tests.support.messages import make_policy, make_prompt, make_request, make_rollout
from tests.unit.label_queue.conftest import MakeQueue
from tests.unit.label_queue.labeling import answer_orders, label


def reference_rollouts(num_prompts: int, per_prompt: int = 2) -> list:  # type: ignore[type-arg]
    return [
        make_rollout(replace(make_request(10 * i + j, "reference"), prompt=make_prompt(i)))
        for i in range(num_prompts)
        for j in range(per_prompt)
    ]


# --- asking ------------------------------------------------------------------------------------


async def test_asks_for_l_of_n_and_ahead_then_for_what_labels_and_progress_free(
    queue: LabelQueue,
) -> None:
    assert sum(await answer_orders(queue)) == 10 + 4
    assert await queue.next_orders(0.0) == []
    await label(queue, 3)
    assert await queue.next_orders(0.0) == []  # l(0) has not moved
    await queue.set_progress(50, make_policy(1))
    # l(50) = 10 + 30·(1 − 0.25) = 32: 32 + 4 asked in all.
    assert sum(await answer_orders(queue)) == 36 - 14
    await queue.set_progress(100, make_policy(2))
    assert sum(await answer_orders(queue)) == 40 - 36  # never more than N


async def test_an_order_counts_as_asked_until_it_times_out(
    queue: LabelQueue, clock: ManualClock
) -> None:
    [order] = await queue.next_orders(0.0)
    assert await queue.next_orders(0.0) == []
    clock.now += 120.0
    [again] = await queue.next_orders(0.0)
    assert again.num_queries == order.num_queries
    assert await queue.offer(order.order_id, make_drafts(order)) == 0


async def test_an_answer_to_an_order_counts_once(queue: LabelQueue, ledger: MemoryLedger) -> None:
    [order] = await queue.next_orders(0.0)
    drafts = make_drafts(order)
    made = await asyncio.gather(*(queue.offer(order.order_id, drafts) for _ in range(3)))
    assert made == [14, 14, 14]
    assert len(ledger.queries()) == 14


async def test_orders_are_waited_for(queue: LabelQueue) -> None:
    await answer_orders(queue)
    waiting = asyncio.create_task(queue.next_orders(60.0))
    await asyncio.sleep(0)
    assert not waiting.done()
    await queue.set_progress(50, make_policy(1))
    assert (await waiting)[0].num_queries == 22


async def test_large_wants_are_ordered_in_pieces(make_queue: MakeQueue) -> None:
    queue = make_queue(make_config(max_order=5))
    assert await answer_orders(queue) == [5, 5, 4]


async def test_drafts_with_an_unfinished_response_make_no_query(queue: LabelQueue) -> None:
    [order] = await queue.next_orders(0.0)
    drafts = make_drafts(order)
    drafts[0] = make_draft(0, is_complete=False)
    assert await queue.offer(order.order_id, drafts) == 13
    # One is lacking again and is ordered at once, as `ahead` is too small to gather.
    [missing] = await queue.next_orders(0.0)
    assert missing.num_queries == 1


async def test_a_query_records_what_its_policy_had_learned(
    queue: LabelQueue, ledger: MemoryLedger
) -> None:
    await answer_orders(queue)
    await label(queue, 8)
    await queue.set_progress(50, make_policy(3))
    await answer_orders(queue, version=2, learned_through=6)
    query = ledger.queries()[-1]
    assert (query.labels_before, query.learned_labels, query.learned_through) == (8, 6, 6)
    assert {candidate.policy_version for candidate in query.candidates} == {2}
    assert query.selection_probability == 1.0
    assert query.expires_at == query.created_at + 3_600.0


async def test_a_query_shows_neither_rollout_id_nor_more_than_was_kept(
    queue: LabelQueue, ledger: MemoryLedger
) -> None:
    await answer_orders(queue)
    candidate = ledger.queries()[0].candidates[0]
    assert candidate.candidate_id.startswith("c-")
    assert candidate.token_ids == (4, 5, 6)
    assert candidate.logprob_sum == -3.0


async def test_refuses_log_probabilities_that_are_none(queue: LabelQueue) -> None:
    [order] = await queue.next_orders(0.0)
    rollout = replace(make_rollout(), behavior_logprobs=(float("nan"),) * 4)
    with pytest.raises(NotFinite, match="t-000000"):
        await queue.offer(order.order_id, [replace(make_draft(), rollouts=(rollout,) * 4)])


async def test_expired_queries_are_replaced(queue: LabelQueue, clock: ManualClock) -> None:
    await answer_orders(queue)
    clock.now += 3_600.0
    assert sum(await answer_orders(queue)) == 14
    assert (await queue.stats())["labels/outstanding"] == 14


async def test_answers_without_a_preference_are_asked_for_anew(queue: LabelQueue) -> None:
    await answer_orders(queue)
    await label(queue, 2, outcome="skip")
    assert sum(await answer_orders(queue)) == 2


# --- purposes ----------------------------------------------------------------------------------


async def test_purposes_keep_their_shares(make_queue: MakeQueue, ledger: MemoryLedger) -> None:
    queue = make_queue(
        make_config(
            total=400,
            initial=200,
            ahead=20,
            max_order=7,
            validation_share=0.10,
            overlap_share=0.05,
            overlap_labelers=3,
        )
    )
    for name in ("ann", "bob", "cid"):
        await queue.add_labeler(name)
    await queue.add_reference(reference_rollouts(5))
    await queue.set_progress(0, make_policy(1))
    await answer_orders(queue, version=1)
    purposes = [query.purpose for query in ledger.queries()]
    assert purposes.count("validation") == pytest.approx(0.10 * len(purposes), abs=1)
    assert purposes.count("overlap") == pytest.approx(0.05 * len(purposes), abs=1)
    # 220 answers wanted, three of each overlap query.
    assert sum(query.num_wanted for query in ledger.queries()) == pytest.approx(220, abs=3)


async def test_overlap_is_never_given_to_more_labelers_than_there_are(
    make_queue: MakeQueue, ledger: MemoryLedger
) -> None:
    queue = make_queue(make_config(overlap_share=0.5))
    await queue.add_labeler("ann")
    await queue.add_labeler("bob")
    await answer_orders(queue)
    wanted = {query.num_wanted for query in ledger.queries() if query.purpose == "overlap"}
    assert wanted == {2}


async def test_validation_sets_two_responses_of_the_policy_beside_two_of_the_reference(
    make_queue: MakeQueue, ledger: MemoryLedger
) -> None:
    queue = make_queue(make_config(validation_share=0.5))
    await queue.add_reference(reference_rollouts(3, per_prompt=3))
    [only_train] = await queue.next_orders(0.0)
    assert only_train.purpose == "train"  # π is still ρ
    await queue.offer(only_train.order_id, make_drafts(only_train)[:2])
    await queue.set_progress(1, make_policy(1))
    orders = {order.purpose: order for order in await queue.next_orders(0.0)}
    # Of 12 lacking, 5 and 7 would even the two out; the pool has three prompts at a time.
    assert count_purposes(list(orders.values())) == {"train": 5, "validation": 3}
    order = orders["validation"]
    assert order.num_candidates == 2
    assert [prompt.prompt_id for prompt in order.prompts] == ["p-0", "p-1", "p-2"]
    assert await queue.offer(order.order_id, make_drafts(order, version=1)) == 3
    query = ledger.queries()[-1]
    assert sorted(candidate.policy_version for candidate in query.candidates) == [0, 0, 1, 1]
    assert len({candidate.candidate_id for candidate in query.candidates}) == 4


async def test_winrate_counts_validation_labels_that_prefer_the_policy(
    make_queue: MakeQueue,
) -> None:
    queue = make_queue(make_config(validation_share=0.9))
    await queue.add_reference(reference_rollouts(20))
    await queue.set_progress(0, make_policy(1))
    await answer_orders(queue, version=1)
    await label(queue, 12)
    winrate = await queue.winrate()
    assert winrate.num_labels == pytest.approx(0.9 * 12, abs=1)
    assert 0.0 <= winrate.low < winrate.rate <= 1.0
    assert (await queue.winrate(last=5)).num_labels == 5
    assert (await queue.online_stats())["policy/winrate_vs_reference"] == winrate.rate


# --- the schedule ------------------------------------------------------------------------------


async def test_the_learner_waits_for_l_of_n_labels(queue: LabelQueue) -> None:
    waiting = asyncio.create_task(queue.wait_until_allowed(0))
    await answer_orders(queue)
    await label(queue, 9)
    assert not waiting.done()
    await label(queue, 1)
    assert await waiting > 0.0
    assert await queue.wait_until_allowed(0) == pytest.approx(0.0, abs=0.05)


async def test_waiting_at_an_episode_asks_for_its_labels(queue: LabelQueue) -> None:
    await answer_orders(queue)
    await label(queue, 14)
    waiting = asyncio.create_task(queue.wait_until_allowed(50))
    await asyncio.sleep(0)
    assert sum(await answer_orders(queue)) == 22
    await label(queue, 32 - 14)
    assert await waiting > 0.0


async def test_a_starved_run_may_go_on_after_the_first_labels(make_queue: MakeQueue) -> None:
    queue = make_queue(make_config(when_starved="continue"))
    await answer_orders(queue)
    await label(queue, 10)
    assert await queue.wait_until_allowed(100) == pytest.approx(0.0, abs=0.05)


async def test_labels_without_a_preference_do_not_count(queue: LabelQueue) -> None:
    waiting = asyncio.create_task(queue.wait_until_allowed(0))
    await answer_orders(queue)
    await label(queue, 10, outcome="both_bad")
    assert not waiting.done()
    waiting.cancel()
    assert (await queue.stats())["labels/accepted"] == 10


# --- retraining --------------------------------------------------------------------------------


async def test_fits_are_due_at_the_points_and_between(queue: LabelQueue) -> None:
    waiting = asyncio.create_task(queue.next_fit())
    await answer_orders(queue)
    await label(queue, 10)
    first = await waiting
    assert (first.kind, first.ledger_seq, first.labels_used) == ("refit", 10, 10)
    assert [comparison.seq for comparison in first.comparisons] == list(range(1, 11))
    await label(queue, 2)
    assert await queue.next_fit() == first  # the same until it is learned
    await queue.learned(make_reward(1, ledger_seq=10))
    await queue.learned(make_reward(1, ledger_seq=10))
    warm = asyncio.create_task(queue.next_fit())
    await asyncio.sleep(0)
    assert not warm.done()
    await label(queue, 1)
    update = await warm
    assert (update.kind, update.ledger_seq, update.labels_used) == ("warm", 13, 13)
    assert [c.seq for c in update.comparisons if c.seq > 10] == [11, 12, 13]
    assert len(update.comparisons) == 6


async def test_offline_fits_once_on_all_labels(make_queue: MakeQueue) -> None:
    queue = make_queue(mode="offline")
    await answer_orders(queue)
    await label(queue, 40)
    assert (await queue.next_fit()).labels_used == 40
    await queue.learned(make_reward(1, ledger_seq=40))
    frozen = asyncio.create_task(queue.next_fit())
    await asyncio.sleep(0)
    assert not frozen.done()
    frozen.cancel()
    assert (await queue.run_info()).is_closed


async def test_coverage_and_latency_follow_the_labels_to_the_policy(
    queue: LabelQueue, clock: ManualClock
) -> None:
    await answer_orders(queue)
    await label(queue, 10)
    clock.now += 30.0
    await queue.learned(make_reward(1, ledger_seq=8))
    await queue.set_progress(50, make_policy(3))
    await answer_orders(queue, version=2, learned_through=8)
    assert set(await queue.coverage()) == {0.8}
    await queue.reached_policy(8, clock.now)
    await queue.reached_policy(10, clock.now + 10.0)
    assert await queue.online_stats() == {
        "online/coverage": 0.8,
        "online/label_to_policy_latency_p50": 30.0,
        "online/label_to_policy_latency_p95": 40.0,
        "online/query_policy_lag": 1.0,
    }


# --- the whole ---------------------------------------------------------------------------------


async def test_stats_share_one_axis_and_say_how_labelling_stands(
    queue: LabelQueue, clock: ManualClock
) -> None:
    assert "labels/tie_rate" not in await queue.stats()
    await answer_orders(queue)
    clock.now += 5.0
    await label(queue, 3)
    await label(queue, 1, outcome="tie")
    stats = await queue.stats()
    expected = {
        "labels/seq": 4,
        "labels/received": 4,
        "labels/accepted": 4,
        "labels/scheduled": 10,
        "labels/deficit": 6,
        "labels/outstanding": 10,
        "labels/tie_rate": 0.25,
        "labels/rate_per_min": 4,
        "labels/latency_p95": 0.0,
        "labels/first_position_rate": 1.0,
        "labelers/max_share": 1.0,
    }
    assert {name: stats[name] for name in expected} == expected
    assert await queue.ledger_commit_p95_s() > 0.0


async def test_a_restart_goes_on_where_the_ledger_ends(make_queue: MakeQueue) -> None:
    first = make_queue(make_config(overlap_share=0.2))
    token = await first.add_labeler("ann")
    await first.add_labeler("bob")
    await answer_orders(first)
    await label(first, 4)
    before = await first.stats()
    second = make_queue(make_config(overlap_share=0.2))
    after = await second.stats()
    assert after == before
    assert await second.authenticate(token) == "ann"
    assert await second.next_orders(0.0) == []
    await label(second, 4)


async def test_closing_wakes_all_who_wait(queue: LabelQueue) -> None:
    waiting = [
        asyncio.create_task(queue.wait_until_allowed(0)),
        asyncio.create_task(queue.next_fit()),
    ]
    task = asyncio.create_task(queue.next_task("ann", 30.0))
    await asyncio.sleep(0)
    await queue.close()
    for waiter in waiting:
        with pytest.raises(LoopEnded, match="closed"):
            await waiter
    assert await task is None
    with pytest.raises(LoopEnded):
        await queue.next_orders(0.0)
