"""What the label queue asks the policy loop for, and the queries it makes of the answers."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from label_queue.queue import LabelQueue
from protocol.errors import InputError, NotFinite
from protocol.labels import QueryDraft
from tests.support.cord import release_shown
from tests.support.labels import ManualClock, make_config, make_draft, make_drafts, make_reward
from tests.support.memory_ledger import MemoryLedger
from tests.support.messages import make_policy, make_request, make_rollout
from tests.unit.label_queue.conftest import MakeQueue
from tests.unit.label_queue.labeling import answer_orders, label, reference_rollouts

# --- asking ------------------------------------------------------------------------------------


async def test_asks_for_l_of_n_and_ahead_then_for_what_labels_and_progress_free(
    queue: LabelQueue,
) -> None:
    assert sum(await answer_orders(queue)) == 10 + 4
    assert await queue.policy_loop.next_orders(0.0) == []
    await label(queue, 3)
    assert await queue.policy_loop.next_orders(0.0) == []  # l(0) has not moved
    await queue.policy_loop.set_progress(50, make_policy(1))
    # l(50) = 10 + 30·(1 − 0.25) = 32: 32 + 4 asked in all.
    assert sum(await answer_orders(queue)) == 36 - 14
    await queue.policy_loop.set_progress(100, make_policy(2))
    assert sum(await answer_orders(queue)) == 40 - 36  # never more than N


@pytest.mark.parametrize(("scales", "chosen"), [((), {0, 1}), ((0.1, 0.1), {1, 2})])
async def test_what_the_heads_are_sure_of_is_read_at_the_scale_they_learned_at(
    make_queue: MakeQueue, scales: tuple[float, ...], chosen: set[int]
) -> None:
    """As served, the third response is surely best; as learned, nothing is."""
    config = make_config(selector="information_directed", num_candidates=2, selector_responses=3)
    queue = make_queue(config)
    reward = replace(make_reward(ledger_seq=0), learned_scales=scales)
    await queue.policy_loop.reward_served(reward)
    [order] = await queue.policy_loop.next_orders(0.0)
    heads = ((0.0, 0.0), (1.0, -1.0), (2.0, 6.0))
    drafts = [replace(each, heads=heads, reward_version=1) for each in make_drafts(order)]
    await queue.policy_loop.offer(order.order_id, drafts)
    place = {rollout.text: i % 3 for each in drafts for i, rollout in enumerate(each.rollouts)}
    for query in queue.state.board.queries.values():
        assert {place[each.text] for each in query.candidates} == chosen


async def test_an_order_counts_as_asked_until_it_times_out(
    queue: LabelQueue, clock: ManualClock
) -> None:
    [order] = await queue.policy_loop.next_orders(0.0)
    assert await queue.policy_loop.next_orders(0.0) == []
    clock.now += 120.0
    [again] = await queue.policy_loop.next_orders(0.0)
    assert again.num_queries == order.num_queries
    assert await queue.policy_loop.offer(order.order_id, make_drafts(order)) == 0


async def test_an_answer_restarts_the_time_of_the_orders_that_wait(
    make_queue: MakeQueue, clock: ManualClock
) -> None:
    queue = make_queue(make_config(overlap_share=0.5))
    first, second = await queue.policy_loop.next_orders(0.0)
    clock.now += 119.0
    assert await queue.policy_loop.offer(first.order_id, make_drafts(first)) == first.num_queries
    clock.now += 119.0
    assert await queue.policy_loop.next_orders(0.0) == []
    assert await queue.policy_loop.offer(second.order_id, make_drafts(second)) == second.num_queries


async def test_orders_that_wait_are_placed_anew_once_nothing_is_offered(
    make_queue: MakeQueue, clock: ManualClock
) -> None:
    queue = make_queue(make_config(overlap_share=0.5))
    first, second = await queue.policy_loop.next_orders(0.0)
    clock.now += 60.0
    await queue.policy_loop.offer(first.order_id, make_drafts(first))
    clock.now += 120.0
    again = await queue.policy_loop.next_orders(0.0)
    assert sum(order.num_queries for order in again) == second.num_queries


async def test_an_answer_to_an_order_counts_once(queue: LabelQueue, ledger: MemoryLedger) -> None:
    [order] = await queue.policy_loop.next_orders(0.0)
    drafts = make_drafts(order)
    made = await asyncio.gather(
        *(queue.policy_loop.offer(order.order_id, drafts) for _ in range(3))
    )
    assert made == [14, 14, 14]
    assert len(ledger.queries()) == 14


async def test_orders_are_waited_for(queue: LabelQueue) -> None:
    await answer_orders(queue)
    waiting = asyncio.create_task(queue.policy_loop.next_orders(60.0))
    await asyncio.sleep(0)
    assert not waiting.done()
    await queue.policy_loop.set_progress(50, make_policy(1))
    assert (await waiting)[0].num_queries == 22


async def test_large_wants_are_ordered_in_pieces(make_queue: MakeQueue) -> None:
    queue = make_queue(make_config(max_order=5))
    assert await answer_orders(queue) == [5, 5, 4]


async def test_drafts_with_an_unfinished_response_make_no_query(queue: LabelQueue) -> None:
    [order] = await queue.policy_loop.next_orders(0.0)
    drafts = make_drafts(order)
    drafts[0] = make_draft(0, is_complete=False)
    assert await queue.policy_loop.offer(order.order_id, drafts) == 13
    # One is lacking again and is ordered at once, as `ahead` is too small to gather.
    [missing] = await queue.policy_loop.next_orders(0.0)
    assert missing.num_queries == 1


async def test_a_policy_that_never_ends_its_responses_is_told_of_and_then_stops_the_run(
    queue: LabelQueue,
) -> None:
    with capture_logs() as logs:
        for _ in range(9):
            [order] = await queue.policy_loop.next_orders(0.0)
            assert await queue.policy_loop.offer(order.order_id, []) == 0
        [order] = await queue.policy_loop.next_orders(0.0)
        with pytest.raises(InputError, match=r"10 orders in a row .* raise response\.max_tokens"):
            await queue.policy_loop.offer(order.order_id, [make_draft(is_complete=False)])
    told = [log for log in logs if log["log_level"] == "warning"]
    assert len(told) == 10
    assert "change response.cut_token" in told[0]["event"]


def all_alike(draft: QueryDraft) -> QueryDraft:
    text, ids = draft.rollouts[0].text, draft.rollouts[0].token_ids
    same = (replace(each, text=text, token_ids=ids) for each in draft.rollouts)
    return replace(draft, rollouts=tuple(same))


async def test_a_draft_with_two_responses_alike_makes_no_query(queue: LabelQueue) -> None:
    [order] = await queue.policy_loop.next_orders(0.0)
    drafts = make_drafts(order)
    first, *others = drafts[0].rollouts
    looks_alike = replace(others[0], text=f" {first.text}\n")
    drafts[0] = replace(drafts[0], rollouts=(first, looks_alike, *others[1:]))
    same_ids = replace(drafts[1].rollouts[3], token_ids=drafts[1].rollouts[0].token_ids)
    drafts[1] = replace(drafts[1], rollouts=(*drafts[1].rollouts[:3], same_ids))
    assert await queue.policy_loop.offer(order.order_id, drafts) == 12


async def test_a_policy_that_always_says_the_same_is_told_of_and_then_stops_the_run(
    queue: LabelQueue,
) -> None:
    with capture_logs() as logs:
        for _ in range(9):
            [order] = await queue.policy_loop.next_orders(0.0)
            assert await queue.policy_loop.offer(order.order_id, [all_alike(make_draft())]) == 0
        [order] = await queue.policy_loop.next_orders(0.0)
        with pytest.raises(InputError, match=r"10 orders in a row .* raise response\.temperature"):
            await queue.policy_loop.offer(order.order_id, [all_alike(make_draft())])
    told = [log for log in logs if log["log_level"] == "warning"]
    assert "all alike" in told[0]["event"]


async def test_a_policy_that_fell_apart_is_not_asked_on_and_on_while_the_cord_is_pulled(
    queue: LabelQueue,
) -> None:
    """A guard has stopped the line for it: the run waits for somebody to look, and does not end."""
    await queue.people.pull_cord("ann", "the policy fell apart")
    for _ in range(10):
        [order] = await queue.policy_loop.next_orders(0.0)
        assert await queue.policy_loop.offer(order.order_id, []) == 0
    assert await queue.policy_loop.next_orders(0.0) == []
    await release_shown(queue, "gone back to the version before")
    for _ in range(9):
        [order] = await queue.policy_loop.next_orders(0.0)
        assert await queue.policy_loop.offer(order.order_id, []) == 0
    [order] = await queue.policy_loop.next_orders(0.0)
    with pytest.raises(InputError, match="10 orders in a row"):
        await queue.policy_loop.offer(order.order_id, [])


async def test_one_query_forgives_the_orders_that_brought_none(queue: LabelQueue) -> None:
    for drafts in [*[[]] * 9, [make_draft()], *[[]] * 9]:
        [order] = await queue.policy_loop.next_orders(0.0)
        assert await queue.policy_loop.offer(order.order_id, drafts) == len(drafts)


async def test_a_query_records_the_moment_it_was_made(
    queue: LabelQueue, ledger: MemoryLedger
) -> None:
    await answer_orders(queue)
    await label(queue, 8)
    await queue.policy_loop.set_progress(50, make_policy(3))
    await answer_orders(queue, version=2)
    query = ledger.queries()[-1]
    assert (query.labels_before, query.ledger_seq) == (8, 8)
    assert {candidate.policy_version for candidate in query.candidates} == {2}
    assert query.selection_probability == 1.0
    assert query.expires_at == query.created_at + 3_600.0


async def test_a_query_shows_neither_rollout_id_nor_more_than_was_kept(
    queue: LabelQueue, ledger: MemoryLedger
) -> None:
    await answer_orders(queue)
    candidate = ledger.queries()[0].candidates[0]
    assert candidate.candidate_id.startswith("c-")
    assert len(candidate.token_ids) == 3
    assert candidate.logprob_sum == -3.0
    assert candidate.finish_reason == "cut"


async def test_a_candidate_says_why_it_ended(queue: LabelQueue, ledger: MemoryLedger) -> None:
    [order] = await queue.policy_loop.next_orders(0.0)
    draft = make_draft()
    ended = tuple(replace(rollout, finish_reason="end") for rollout in draft.rollouts)
    await queue.policy_loop.offer(order.order_id, [replace(draft, rollouts=ended)])
    assert {c.finish_reason for c in ledger.queries()[0].candidates} == {"end"}


async def test_refuses_log_probabilities_that_are_none(queue: LabelQueue) -> None:
    [order] = await queue.policy_loop.next_orders(0.0)
    draft = make_draft()
    first = replace(draft.rollouts[0], behavior_logprobs=(float("nan"),) * 4)
    with pytest.raises(NotFinite, match="q-000000"):
        await queue.policy_loop.offer(
            order.order_id, [replace(draft, rollouts=(first, *draft.rollouts[1:]))]
        )


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
        await queue.owner.add_labeler(name)
    await queue.policy_loop.add_reference(reference_rollouts(5))
    await queue.policy_loop.set_progress(0, make_policy(1))
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
    await queue.owner.add_labeler("ann")
    await queue.owner.add_labeler("bob")
    await answer_orders(queue)
    wanted = {query.num_wanted for query in ledger.queries() if query.purpose == "overlap"}
    assert wanted == {2}


async def test_a_reference_policy_that_always_says_the_same_is_told_of(
    make_queue: MakeQueue,
) -> None:
    queue = make_queue(make_config(validation_share=0.5))
    same = make_rollout(make_request(1, "reference"))
    with capture_logs() as logs:
        await queue.policy_loop.add_reference([same, replace(same, rollout_id="r-000002")])
        await queue.policy_loop.add_reference(reference_rollouts(1))
    [told] = [log["event"] for log in logs if log["log_level"] == "warning"]
    assert told.startswith("no validation: to no prompt has the starting policy given 2 responses")


async def test_a_purpose_that_brings_nothing_does_not_keep_the_others_waiting(
    make_queue: MakeQueue, ledger: MemoryLedger
) -> None:
    queue = make_queue(make_config(validation_share=0.5))
    await queue.policy_loop.add_reference(reference_rollouts(3))
    await queue.policy_loop.set_progress(1, make_policy(1))
    orders = await queue.policy_loop.next_orders(0.0)
    while orders:
        for order in orders:
            drafts = make_drafts(order, version=1)
            if order.purpose == "validation":
                drafts = [all_alike(draft) for draft in drafts]
            await queue.policy_loop.offer(order.order_id, drafts)
        orders = await queue.policy_loop.next_orders(0.0)
    purposes = [query.purpose for query in ledger.queries()]
    assert purposes.count("validation") == 0
    assert purposes.count("train") == (await queue.policy_loop.stats())["labels/outstanding"] > 10


async def test_one_labeler_alone_gets_through_though_others_are_known(
    make_queue: MakeQueue,
) -> None:
    queue = make_queue(make_config(overlap_share=0.5, overlap_labelers=3))
    for name in ("ann", "bob", "cid"):
        await queue.owner.add_labeler(name)
    for episodes, wanted in ((0, 10), (50, 32), (100, 40)):
        waiting = asyncio.create_task(queue.policy_loop.wait_until_allowed(episodes))
        await asyncio.sleep(0)
        while not waiting.done():
            await answer_orders(queue)
            await label(queue, 1)
            await asyncio.sleep(0)
        assert (await queue.policy_loop.stats())["labels/accepted"] == wanted
    assert (await queue.people.run_info("ann")).is_closed
