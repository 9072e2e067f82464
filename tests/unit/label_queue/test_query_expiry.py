"""When a query that nobody has claimed ends, and another is asked for in its place."""

from __future__ import annotations

from dataclasses import replace

from label_queue.queue import LabelQueue
from protocol.labels import PolicyProvenance
from tests.support.labels import ManualClock, make_config, make_provenance
from tests.support.memory_ledger import MemoryLedger
from tests.support.messages import make_policy
from tests.unit.label_queue.conftest import MakeQueue
from tests.unit.label_queue.labeling import answer_orders


async def test_expired_queries_are_replaced(queue: LabelQueue, clock: ManualClock) -> None:
    await answer_orders(queue)
    clock.now += 3_600.0
    assert sum(await answer_orders(queue)) == 14
    assert (await queue.policy_loop.stats())["labels/outstanding"] == 14


async def test_nobody_is_given_what_has_expired_before_anybody_has_asked_for_more(
    make_queue: MakeQueue, queue: LabelQueue, clock: ManualClock
) -> None:
    await answer_orders(queue)
    clock.now += 3 * 86_400.0
    again = make_queue()
    assert await again.people.next_task("ann", 0.0) is None
    assert again.state.board.open_queries(clock.now) == []
    assert sum(await answer_orders(again)) == 14
    assert await again.people.next_task("ann", 0.0) is not None


async def told(queue: LabelQueue, version: int, moved_kl: float) -> None:
    """Say that there is a policy version, so far from ρ. l(0) stays as it is."""
    policy = replace(make_policy(version), moved_kl=moved_kl)
    await queue.policy_loop.set_progress(0, policy)


async def test_queries_are_replaced_once_the_policy_has_moved_on_from_them(
    make_queue: MakeQueue, ledger: MemoryLedger
) -> None:
    queue = make_queue(make_config(query_expiry_nats=0.5))
    await told(queue, 1, 3.0)
    await answer_orders(queue, version=1)
    held = await queue.people.next_task("ann", 0.0)
    assert held is not None
    await told(queue, 2, 3.5)
    assert await answer_orders(queue, version=2) == []
    await told(queue, 3, 3.75)
    assert sum(await answer_orders(queue, version=3)) == 13
    assert (await queue.policy_loop.stats())["labels/outstanding"] == 14
    # A query that has ended is no other on a queue that starts again.
    again = make_queue(make_config(query_expiry_nats=0.5))
    assert await again.policy_loop.next_orders(0.0) == []
    assert again.state.board.open_slots == 14
    assert [each.moved_kl for each in ledger.read(PolicyProvenance)] == [0.0, 3.0, 3.5, 3.75]


async def test_versions_that_do_not_say_how_far_they_came_end_no_query(
    make_queue: MakeQueue, ledger: MemoryLedger
) -> None:
    ledger.write([make_provenance(version) for version in range(3)])
    queue = make_queue()
    await answer_orders(queue, version=1)
    await told(queue, 3, 7.0)
    assert await answer_orders(queue, version=3) == []
    ledger.write([make_provenance(4)])
    assert make_queue().state.moved_since(3) == 0.0


async def test_a_version_that_the_queue_was_not_told_of_yet_is_taken_for_the_newest(
    queue: LabelQueue,
) -> None:
    await told(queue, 1, 7.0)
    await answer_orders(queue, version=2)
    assert await queue.policy_loop.next_orders(0.0) == []
