"""Whoever waits for a task and is gone when it comes keeps it from nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import pytest

from label_queue.queue import LabelQueue
from tests.support.page_server import serve_people
from tests.support.patience import PATIENCE_S
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


async def test_a_task_that_comes_for_a_tab_that_was_closed_is_for_others(queue: LabelQueue) -> None:
    ann, bob = [await queue.owner.add_labeler(name) for name in ("ann", "bob")]
    async with serve_people(queue) as url:
        tab = await begin_to_wait(url, ann)
        await until(lambda: queue.state.waiting["ann"] > 0)
        tab.close()
        await tab.wait_closed()
        await asyncio.sleep(0.2)  # until the server has heard of it
        await answer_orders(queue)
        await until(lambda: queue.state.waiting["ann"] == 0)
        headers = {"Authorization": f"Bearer {bob}"}
        async with httpx.AsyncClient(base_url=url, headers=headers) as client:
            given = await take(client)
    # It was hers, and is in the ledger as that; she holds it no more.
    owners = [each.labeler_id for each in queue.state.board.assignments.values()]
    assert owners == ["ann", "bob"]
    assert (await queue.people.held_tasks("ann")).tasks == ()
    [held] = (await queue.people.held_tasks("bob")).tasks
    assert held.assignment_id == given.assignment_id


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
