"""Everybody gets work, and nobody can stop it."""

from __future__ import annotations

import asyncio

import pytest

from label_queue.config import IntakeConfig, LeaseConfig
from label_queue.folds.open_query import OpenQuery
from label_queue.labeling.desk import LabelingDesk
from label_queue.labeling.submissions import LabelAnswer, LabelSubmission
from label_queue.labeling.tasks import Task
from label_queue.queue import LabelQueue
from protocol.errors import LabelConflict, TooFast
from tests.support.labels import ManualClock, make_config, make_drafts, make_query
from tests.support.present import present
from tests.unit.label_queue.conftest import MakeQueue
from tests.unit.label_queue.labeling import answer_orders, label, submit

PAGE_AHEAD = 3
"""Tasks that a page holds: the one shown, and two fetched before they are wanted."""


async def hoard(queue: LabelQueue, labeler_id: str) -> list[Task]:
    """Lease all there is."""
    tasks = []
    while (task := await queue.people.next_task(labeler_id, 0.0)) is not None:
        tasks.append(task)
    return tasks


def first_choice(task: Task, revision: int = 0, index: int = 0) -> LabelSubmission:
    return LabelSubmission(
        assignment_id=task.assignment_id,
        revision=revision,
        outcome="choice",
        choice=task.candidates[index].candidate_id,
    )


# --- who is given what ---------------------------------------------------------------------------


async def test_of_as_many_pages_as_there_are_tasks_each_gets_one(make_queue: MakeQueue) -> None:
    queue = make_queue(make_config(total=400, initial=16, ahead=4))
    await answer_orders(queue)
    names = [f"labeler-{number:02d}" for number in range(20)]
    for _ in range(PAGE_AHEAD):  # the first pages there are fast
        for name in names[:7]:
            await queue.people.next_task(name, 0.0)
    for name in names[7:]:
        assert await queue.people.next_task(name, 0.0) is not None, name
    assert queue.state.board.holders(queue.clock()) == set(names)


async def test_a_task_wakes_one_of_those_who_wait(
    queue: LabelQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    pick = LabelingDesk._pick

    def counted(desk: LabelingDesk, labeler_id: str, now: float) -> OpenQuery | None:
        looks.append(labeler_id)
        return pick(desk, labeler_id, now)

    monkeypatch.setattr(LabelingDesk, "_pick", counted)
    monkeypatch.setattr("label_queue.labeling.desk.POLL_S", 60.0)
    names = [f"labeler-{number:02d}" for number in range(20)]
    waiting = [asyncio.create_task(queue.people.next_task(name, 60.0)) for name in names]
    await asyncio.sleep(0)
    looks.clear()
    for number in range(3):
        await queue.commits.write([make_query(number)])
    assert all(await asyncio.gather(*waiting[:3]))
    assert looks == names[:3]
    for task in waiting[3:]:
        task.cancel()
    await asyncio.wait(waiting[3:])


async def test_who_has_a_task_comes_after_who_has_none(queue: LabelQueue) -> None:
    await answer_orders(queue)
    assert await queue.people.next_task("bob", 0.0) is not None
    queue.state.waiting["cid"] += 1  # cid asks, and was not looked at yet
    assert await queue.people.next_task("bob", 0.0) is None
    assert await queue.people.next_task("cid", 0.0) is not None
    assert await queue.people.next_task("bob", 0.0) is not None


async def test_who_waits_for_what_is_not_there_holds_up_nobody(make_queue: MakeQueue) -> None:
    queue = make_queue(make_config(overlap_share=0.99, overlap_labelers=2))
    for name in ("bob", "cid"):
        await queue.owner.add_labeler(name)
    await answer_orders(queue)
    while (task := await queue.people.next_task("cid", 0.0)) is not None:
        await submit(queue, first_choice(task), "cid")
    waiting = asyncio.create_task(queue.people.next_task("cid", 60.0))
    await asyncio.sleep(0)
    held = [await queue.people.next_task("bob", 0.0) for _ in range(3)]
    assert None not in held
    waiting.cancel()
    await asyncio.wait([waiting])


async def test_who_hoards_all_tasks_stops_nobody(queue: LabelQueue) -> None:
    await answer_orders(queue)
    tasks = await hoard(queue, "hoarder")
    step = asyncio.create_task(queue.policy_loop.wait_until_allowed(50))
    await asyncio.sleep(0)
    for _ in range(32):
        for task in tasks:
            await queue.people.heartbeat("hoarder", task.assignment_id)
        await answer_orders(queue)
        await label(queue, 1, "ann")
    assert await step > 0.0


async def test_what_was_taken_from_a_hoarder_is_said_and_an_answer_to_it_is_taken(
    queue: LabelQueue,
) -> None:
    await answer_orders(queue)
    tasks = await hoard(queue, "hoarder")
    given = present(await queue.people.next_task("ann", 0.0))
    assert given.query_id == tasks[-1].query_id
    assert not (await queue.people.heartbeat("hoarder", tasks[-1].assignment_id)).is_held
    assert (await queue.people.heartbeat("hoarder", tasks[0].assignment_id)).is_held
    held = (await queue.people.held_tasks("hoarder")).tasks
    assert {each.assignment_id for each in tasks} - {each.assignment_id for each in held} == {
        tasks[-1].assignment_id
    }
    for labeler_id, task in (("ann", given), ("hoarder", tasks[-1])):
        assert isinstance(await submit(queue, first_choice(task), labeler_id), LabelAnswer)
    assert queue.state.history.num_preferences == 2


async def test_a_task_goes_to_others_once_it_was_held_for_its_total_age(
    make_queue: MakeQueue, clock: ManualClock
) -> None:
    lease = LeaseConfig(first_s=600.0, max_s=600.0, max_age_s=1_500.0)
    queue = make_queue(make_config(total=2, initial=1, ahead=1, refits=1, lease=lease))
    await answer_orders(queue)
    tasks = await hoard(queue, "ann")
    assert len(tasks) == 2
    began, ends = clock.now, []
    for _ in range(4):
        clock.now += 500.0
        renewed = await queue.people.heartbeat("ann", tasks[0].assignment_id)
        ends.append((renewed.lease_until - began, renewed.is_held))
    assert ends == [(1_100.0, True), (1_500.0, True), (1_500.0, False), (1_500.0, False)]
    assert await hoard(queue, "ann") == []
    assert present(await queue.people.next_task("bob", 0.0)).query_id == tasks[0].query_id


async def test_a_task_held_for_longer_than_a_lease_is_asked_for_anew(
    queue: LabelQueue, clock: ManualClock
) -> None:
    await answer_orders(queue)
    task = present(await queue.people.next_task("ann", 0.0))
    clock.now += 400.0
    await queue.people.heartbeat("ann", task.assignment_id)
    clock.now += 199.0
    assert await answer_orders(queue) == []
    clock.now += 2.0
    assert await answer_orders(queue) == [1]


# --- how much is asked for -----------------------------------------------------------------------


async def test_more_is_asked_for_when_more_people_are_at_work(
    make_queue: MakeQueue, clock: ManualClock
) -> None:
    queue = make_queue(make_config(total=400, initial=10, ahead=4))
    assert sum(await answer_orders(queue)) == 14
    names = [f"labeler-{number:02d}" for number in range(14)]
    for name in names:
        assert await queue.people.next_task(name, 0.0) is not None
    late = [asyncio.create_task(queue.people.next_task(f"late-{i}", 60.0)) for i in range(6)]
    await asyncio.sleep(0)
    # 14 are held and 6 wait: 20 at work, so l(n) + 20 in all.
    assert sum(await answer_orders(queue)) == 16
    assert None not in await asyncio.gather(*late)


async def test_what_is_answered_while_an_order_is_drawn_is_asked_for_before(
    make_queue: MakeQueue, clock: ManualClock
) -> None:
    queue = make_queue(make_config(total=400, initial=10, ahead=4))
    [order] = await queue.policy_loop.next_orders(0.0)
    clock.now += 30.0
    await queue.policy_loop.offer(order.order_id, make_drafts(order))
    await label(queue, 12)
    # Twelve labels a minute, half a minute to an order, one at work: l(n) + 7.
    assert sum(await answer_orders(queue)) == 10 + 7 - 14


# --- what waits, and what stands -----------------------------------------------------------------


async def test_one_labeler_s_calls_that_wait_are_limited_in_number(make_queue: MakeQueue) -> None:
    limits = IntakeConfig(requests_per_s=1e6, request_burst=1_000_000, max_polls=2)
    queue = make_queue(make_config(intake=limits))
    calls = [asyncio.create_task(queue.people.next_task("ann", 60.0)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(TooFast, match="2 calls of yours wait for a task already"):
        await queue.people.next_task("ann", 60.0)
    assert await queue.people.next_task("bob", 0.0) is None
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    assert await queue.people.next_task("ann", 0.0) is None


async def test_an_excluded_labeler_changes_no_answer_any_more(queue: LabelQueue) -> None:
    await answer_orders(queue)
    task = present(await queue.people.next_task("ann", 0.0))
    given = await submit(queue, first_choice(task))
    changed = first_choice(task, revision=1, index=1)
    await queue.owner.exclude("ann", 0, "asleep")
    refused = await submit(queue, changed)
    assert isinstance(refused, LabelConflict)
    assert refused.field == "revision"
    assert await submit(queue, first_choice(task)) == given  # the same again is answered as before
    chain = [first_choice(task, revision=number, index=number % 2) for number in (1, 2)]
    assert not any(
        isinstance(each, LabelAnswer) for each in await queue.people.submit("ann", chain)
    )
    await queue.owner.reinstate("ann", "awake")
    assert isinstance(await submit(queue, changed), LabelAnswer)


async def test_the_owner_sees_who_holds_what_and_for_how_long(
    queue: LabelQueue, clock: ManualClock
) -> None:
    await answer_orders(queue)
    began = clock.now
    first = present(await queue.people.next_task("bob", 0.0))
    await queue.people.next_task("ann", 0.0)
    clock.now += 500.0
    await queue.people.next_task("bob", 0.0)
    await queue.people.heartbeat("bob", first.assignment_id)
    clock.now += 101.0
    assert [
        (each.labeler_id, each.num_tasks, each.since - began, each.is_overdue)
        for each in (await queue.owner.overview()).held
    ] == [("bob", 2, 0.0, True)]
