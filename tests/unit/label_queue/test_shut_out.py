"""What somebody holds who may not come in to label any more is for others at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from label_queue.labeling.tasks import Task
from label_queue.queue import LabelQueue
from tests.support.labels import make_config
from tests.unit.label_queue.conftest import MakeQueue
from tests.unit.label_queue.labeling import answer_orders

Act = Callable[[LabelQueue], Awaitable[object]]


async def only_token(queue: LabelQueue) -> str:
    [ann] = (await queue.owner.people(offset=0, limit=10, search="ann")).people
    return ann.ways_in[0].token_id


async def revoke(queue: LabelQueue) -> None:
    await queue.owner.revoke("ann", "she left")


async def revoke_the_token(queue: LabelQueue) -> None:
    await queue.owner.revoke_token("ann", await only_token(queue), "it was given away")


async def make_an_observer(queue: LabelQueue) -> None:
    await queue.owner.change_role("ann", "observer", "she only looks")


async def revoke_one_of_two(queue: LabelQueue) -> None:
    name = await only_token(queue)
    await queue.owner.add_labeler("ann")
    await queue.owner.revoke_token("ann", name, "it was given away")


async def make_an_owner(queue: LabelQueue) -> None:
    await queue.owner.change_role("ann", "owner", "she may label all the same")


@pytest.fixture
async def queue(make_queue: MakeQueue) -> LabelQueue:
    """One in which ann holds all that is asked."""
    queue = make_queue(make_config(overlap_share=0.0))
    await queue.owner.add_labeler("olga", "owner")
    for name in ("ann", "bob"):
        await queue.owner.add_labeler(name)
    await answer_orders(queue)
    return queue


async def all_of_ann(queue: LabelQueue) -> list[Task]:
    """Take tasks as ann until there is none."""
    tasks = []
    while (task := await queue.people.next_task("ann", 0.0)) is not None:
        tasks.append(task)
    return tasks


def held_by_ann(queue: LabelQueue) -> int:
    return queue.state.board.num_leased("ann", 0.0)


@pytest.mark.parametrize("act", [revoke, revoke_the_token, make_an_observer])
async def test_who_waits_is_given_what_they_held(queue: LabelQueue, act: Act) -> None:
    held = await all_of_ann(queue)
    assert held
    while await queue.people.next_task("bob", 0.0) is not None:
        assert held_by_ann(queue) > 0
    more = asyncio.create_task(queue.people.next_task("bob", 20.0))
    await act(queue)
    given = await more
    assert given is not None
    assert given.query_id in {task.query_id for task in held}
    assert held_by_ann(queue) == 0


@pytest.mark.parametrize("act", [revoke, revoke_the_token, make_an_observer])
async def test_a_queue_that_is_started_again_keeps_nothing_for_them(
    queue: LabelQueue, make_queue: MakeQueue, act: Act
) -> None:
    held = await all_of_ann(queue)
    await act(queue)
    again = make_queue()
    assert held_by_ann(again) == 0
    given = await again.people.next_task("bob", 0.0)
    assert given is not None
    assert given.query_id == held[0].query_id


@pytest.mark.parametrize("act", [revoke_one_of_two, make_an_owner])
async def test_who_may_still_label_keeps_it(
    queue: LabelQueue, make_queue: MakeQueue, act: Act
) -> None:
    held = await all_of_ann(queue)
    await act(queue)
    assert held_by_ann(queue) == held_by_ann(make_queue()) == len(held)


async def test_who_leaves_by_themselves_may_come_back_to_it(queue: LabelQueue) -> None:
    link = (await queue.owner.admit("ann", None)).link.rsplit("/", 1)[-1]
    session = await queue.people.open_link(link)
    [ann] = (await queue.owner.people(offset=0, limit=10, search="ann")).people
    for way in ann.ways_in:
        if way.kind == "token":
            await queue.owner.revoke_token("ann", way.token_id, "she has a session")
    held = await all_of_ann(queue)
    await queue.people.leave(session)
    assert queue.state.access.live("ann") == []
    assert held_by_ann(queue) == len(held)
