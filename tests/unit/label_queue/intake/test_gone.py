"""Whoever waits for a task and is gone, or may not have it, when it comes keeps it from nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import pytest

from label_queue.config import IntakeConfig
from label_queue.labeling.tasks import Task
from label_queue.queue import LabelQueue
from tests.support.fake_people_queue import FakePeopleQueue
from tests.support.page_server import serve_people
from tests.support.patience import PATIENCE_S
from tests.support.tasks import make_task
from tests.unit.label_queue.conftest import MakeQueue
from tests.unit.label_queue.intake.client import take
from tests.unit.label_queue.labeling import answer_orders

WAIT = {"wait_s": "20"}


@pytest.fixture
async def queue(make_queue: MakeQueue) -> LabelQueue:
    return make_queue()


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so, which nobody tells of."""
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def begin_to_wait(url: str, token: str) -> asyncio.StreamWriter:
    """Ask for a task on a connection of its own, which can be cut."""
    host, port = url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    ask = f"GET /api/v1/tasks/next?wait_s=20 HTTP/1.1\r\nHost: {host}:{port}\r\n"
    writer.write(f"{ask}Authorization: Bearer {token}\r\n\r\n".encode())
    await writer.drain()
    return writer


async def test_a_tab_that_was_closed_waits_for_nothing_and_keeps_no_other_from_it(
    queue: LabelQueue,
) -> None:
    ann, bob = [await queue.owner.add_labeler(name) for name in ("ann", "bob")]
    async with serve_people(queue) as url:
        # Reloaded as often as calls of hers may wait, her page may wait again.
        for _ in range(IntakeConfig().max_polls + 1):
            tab = await begin_to_wait(url, ann)
            await until(lambda: queue.state.waiting["ann"] > 0)
            tab.close()
            await tab.wait_closed()
            await until(lambda: queue.state.waiting["ann"] == 0)
        await answer_orders(queue)
        headers = {"Authorization": f"Bearer {bob}"}
        async with httpx.AsyncClient(base_url=url, headers=headers) as client:
            given = await take(client)
    [assignment] = queue.state.board.assignments.values()
    assert (assignment.labeler_id, assignment.assignment_id) == ("bob", given.assignment_id)


async def test_a_task_that_comes_as_its_tab_is_closed_is_given_back(
    people: FakePeopleQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, stopped = asyncio.Event(), asyncio.Event()
    given_back: list[tuple[str, str]] = []
    task = make_task()

    async def wait_for_task(labeler_id: str, wait_s: float, wait_id: str) -> Task:
        asked.set()
        await stopped.wait()
        return task

    async def stop_waiting(wait_id: str) -> None:
        stopped.set()

    async def give_back(labeler_id: str, assignment_id: str) -> None:
        given_back.append((labeler_id, assignment_id))

    for method in (wait_for_task, stop_waiting, give_back):
        monkeypatch.setattr(people, method.__name__, method)
    token = (await people.owner.admit("ann", "labeler")).token
    async with serve_people(people) as url:
        tab = await begin_to_wait(url, token)
        await asked.wait()
        tab.close()
        await tab.wait_closed()
        await until(lambda: given_back != [])
    assert given_back == [("ann", task.assignment_id)]


async def test_what_was_given_back_is_given_again_as_the_same_assignment(queue: LabelQueue) -> None:
    """A page may show it still: answered there and where it came again, it is one label."""
    await answer_orders(queue)
    first = await queue.people.next_task("ann", 0.0)
    assert first is not None
    await queue.people.give_back("ann", first.assignment_id)
    again = await queue.people.next_task("ann", 0.0)
    assert again is not None
    assert again.assignment_id == first.assignment_id
    assert again.candidates == first.candidates
    [held] = (await queue.people.held_tasks("ann")).tasks
    assert held == again
    assert len(queue.state.board.assignments) == 1


async def test_who_stays_gets_what_they_waited_for(queue: LabelQueue) -> None:
    token = await queue.owner.add_labeler("ann")
    async with serve_people(queue) as url:
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30.0) as client:
            asked = asyncio.create_task(client.get("/api/v1/tasks/next", params=WAIT))
            await until(lambda: queue.state.waiting["ann"] > 0)
            await answer_orders(queue)
            assert (await asked).status_code == 200
    [held] = (await queue.people.held_tasks("ann")).tasks
    assert held.assignment_id == (await asked).json()["assignment_id"]


@pytest.mark.parametrize(
    ("act", "status"), [("revoke", 401), ("revoke one", 401), ("make an observer", 403)]
)
async def test_who_may_not_label_any_more_is_given_nothing_that_comes_while_they_wait(
    queue: LabelQueue, act: str, status: int
) -> None:
    ann, bob = [await queue.owner.add_labeler(name) for name in ("ann", "bob")]
    await queue.owner.add_labeler("ann")
    [first_of_ann] = [
        way
        for person in (await queue.owner.people(offset=0, limit=10, search="ann")).people
        for way in person.ways_in[-1:]
    ]

    async def end() -> None:
        if act == "revoke":
            await queue.owner.revoke("ann", "she left", actor="olga")
        elif act == "revoke one":
            name = first_of_ann.token_id
            await queue.owner.revoke_token("ann", name, "it was given away", actor="olga")
        else:
            await queue.owner.change_role("ann", "observer", "she only looks", actor="olga")

    async with serve_people(queue) as url:
        clients = [
            httpx.AsyncClient(
                base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30
            )
            for token in (ann, bob)
        ]
        async with clients[0] as of_ann, clients[1] as of_bob:
            asked = asyncio.create_task(of_ann.get("/api/v1/tasks/next", params=WAIT))
            await until(lambda: queue.state.waiting["ann"] > 0)
            await end()
            await answer_orders(queue)
            refused = await asked
            given = await take(of_bob)
    assert refused.status_code == status
    assert "candidates" not in refused.text
    assert queue.state.board.num_leased("ann", 0.0) == 0
    assert given.assignment_id in queue.state.board.assignments
