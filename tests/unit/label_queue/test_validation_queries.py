"""Queries that set responses of the policy beside those of the reference."""

from __future__ import annotations

from dataclasses import replace

from label_queue.queue import LabelQueue
from protocol.distinct import is_comparison
from protocol.labels import QueryDraft, QueryOrder
from tests.support.labels import count_purposes, make_config, make_drafts
from tests.support.memory_ledger import MemoryLedger
from tests.support.messages import make_policy
from tests.unit.label_queue.conftest import MakeQueue
from tests.unit.label_queue.labeling import reference_rollouts


async def order_to_validate(queue: LabelQueue) -> QueryOrder:
    """Be at the policy's first version; return what is ordered for validation."""
    await queue.policy_loop.set_progress(1, make_policy(1))
    (order,) = (
        each for each in await queue.policy_loop.next_orders(0.0) if each.purpose == "validation"
    )
    return order


async def test_validation_sets_two_responses_of_the_policy_beside_two_of_the_reference(
    make_queue: MakeQueue, ledger: MemoryLedger
) -> None:
    queue = make_queue(make_config(validation_share=0.5))
    await queue.policy_loop.add_reference(reference_rollouts(3, per_prompt=3))
    [only_train] = await queue.policy_loop.next_orders(0.0)
    assert only_train.purpose == "train"  # π is still ρ
    await queue.policy_loop.offer(only_train.order_id, make_drafts(only_train)[:2])
    await queue.policy_loop.set_progress(1, make_policy(1))
    orders = {order.purpose: order for order in await queue.policy_loop.next_orders(0.0)}
    # Of 12 lacking, 5 and 7 would even the two out; the pool has three prompts at a time.
    assert count_purposes(list(orders.values())) == {"train": 5, "validation": 3}
    order = orders["validation"]
    assert order.num_candidates == 2
    assert [prompt.prompt_id for prompt in order.prompts] == ["p-0", "p-1", "p-2"]
    assert await queue.policy_loop.offer(order.order_id, make_drafts(order, version=1)) == 3
    query = ledger.queries()[-1]
    assert sorted(candidate.policy_version for candidate in query.candidates) == [0, 0, 1, 1]
    assert len({candidate.candidate_id for candidate in query.candidates}) == 4


async def test_validation_by_pairs_sets_one_of_each_policy_side_by_side(
    make_queue: MakeQueue, ledger: MemoryLedger
) -> None:
    queue = make_queue(make_config(kind="pair", num_candidates=2, validation_share=0.5))
    reference = reference_rollouts(3, per_prompt=1)
    await queue.policy_loop.add_reference(reference)
    order = await order_to_validate(queue)
    drafts = make_drafts(order, version=1)
    [only] = drafts[2].rollouts
    alike = replace(only, text=reference[2].text)
    drafts[2] = replace(drafts[2], rollouts=(alike,))
    assert await queue.policy_loop.offer(order.order_id, drafts) == 2
    for query in ledger.queries():
        assert sorted(candidate.policy_version for candidate in query.candidates) == [0, 1]


async def test_validation_shows_no_response_of_the_reference_that_the_policy_gave_too(
    make_queue: MakeQueue, ledger: MemoryLedger
) -> None:
    queue = make_queue(make_config(validation_share=0.5))
    reference = reference_rollouts(2, per_prompt=3)
    await queue.policy_loop.add_reference(reference)
    order = await order_to_validate(queue)
    drafts = make_drafts(order, version=1)

    def repeating(draft: QueryDraft, count: int) -> QueryDraft:
        """π says what ρ said, in `count` of its two responses."""
        said = [each for each in reference if each.prompt == draft.prompt]
        repeated = (
            replace(mine, text=other.text, token_ids=other.token_ids)
            for mine, other in zip(draft.rollouts[:count], said, strict=False)
        )
        return replace(draft, rollouts=(*repeated, *draft.rollouts[count:]))

    # Of three responses of ρ, the first draft leaves two to compare with and the second one.
    drafts = [repeating(drafts[0], 1), repeating(drafts[1], 2)]
    assert await queue.policy_loop.offer(order.order_id, drafts) == 1
    [query] = [query for query in ledger.queries() if query.purpose == "validation"]
    assert is_comparison(query.candidates)
    assert sorted(candidate.policy_version for candidate in query.candidates) == [0, 0, 1, 1]
