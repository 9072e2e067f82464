"""Calls of the label side lost, doubled and out of order, by plan: every label lands once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from label_queue.config import IntakeConfig
from label_queue.intake.app import build_app
from label_queue.intake.queue_over_there import QueueOverThere
from label_queue.ledger.sql import SqlLedger
from label_queue.queue import LabelQueue
from label_queue.schedule import LabelSchedule
from label_queue.shell import RemoteLabelQueue
from label_queue.sides.policy_loop import PolicyLoopSide
from protocol.errors import ActorDied
from protocol.fault_points import Fault, FaultPlan, planned
from protocol.labels import Submitted
from protocol.remote import Remote, Sides
from tests.support.labels import make_config, make_drafts
from tests.support.ledger_history import check_history
from tests.support.messages import make_policy

T = TypeVar("T")
LABELERS = ("ann", "bob", "cyd")
FAULTS = (
    Fault(point="intake.reply", action="lose_answer", chance=0.2),
    Fault(point="ledger.acknowledge", action="delay", chance=0.2, delay_s=0.002),
    Fault(point="*Side.*", action="lose_request", chance=0.05),
    Fault(point="*Side.*", action="lose_answer", chance=0.1),
    Fault(point="*Side.*", action="duplicate", chance=0.2),
    Fault(point="PeopleSide.*", action="reorder", chance=0.1, delay_s=0.01),
)


class Here(Remote[Any]):
    """A process that is this one: calls go by the fault points, and no further."""

    def __init__(self, *sides: object) -> None:
        super().__init__(None, "the label queue")
        self._sides = Sides(*sides)

    async def ask(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await method(self._sides, *args, **kwargs)


async def again(make: Callable[[], Awaitable[T]]) -> T:
    """Call until an answer comes: whether a call without one took effect is not known."""
    while True:
        try:
            return await make()
        except ActorDied:
            await asyncio.sleep(0)


async def ask(loop: PolicyLoopSide) -> int:
    """Be the policy loop until nothing more is wanted; return how many queries were made."""
    number, made = 0, 0
    while orders := await again(partial(loop.next_orders, 0.0, str(number))):
        number += 1
        for order in orders:
            made += await again(partial(loop.offer, order.order_id, make_drafts(order)))
    return made


async def request(client: httpx.AsyncClient, method: str, path: str, **body: Any) -> httpx.Response:
    while True:
        answer = await client.request(method, path, **body)
        if answer.status_code != 500:
            return answer


async def work(client: httpx.AsyncClient, acknowledged: dict[str, int]) -> None:
    """Label until nothing is left, what a lost answer leased first."""
    is_left = True
    while True:
        held = (await request(client, "GET", "/api/v1/tasks/held")).json()["tasks"]
        if not held and not is_left:
            return
        if not held:
            # Whatever it answers, one that was made twice may have leased more.
            offered = await request(client, "GET", "/api/v1/tasks/next")
            is_left = offered.status_code != httpx.codes.NO_CONTENT
            continue
        task = held[0]
        body = {
            "assignment_id": task["assignment_id"],
            "outcome": "choice",
            "choice": task["candidates"][0]["candidate_id"],
        }
        answer = await request(client, "POST", "/api/v1/labels", json=body)
        assert answer.status_code == 200, answer.text
        event_id, seq = answer.json()["event_id"], answer.json()["seq"]
        assert acknowledged.setdefault(event_id, seq) == seq


@pytest.mark.parametrize("is_gathered", [False, True], ids=["alone", "gathered"])
@pytest.mark.parametrize("seed", range(4))
async def test_every_label_lands_once_whatever_happens_to_the_calls(
    tmp_path: Path, seed: int, is_gathered: bool
) -> None:
    config = make_config(total=60, initial=30)
    schedule = LabelSchedule.of(config, num_episodes=100, mode="online")
    ledger = SqlLedger.open(tmp_path / "ledger.sqlite", "run-1")
    queue = LabelQueue(ledger, config, schedule, run_id="run-1", seed=seed)
    tokens = {name: await queue.owner.add_labeler(name) for name in LABELERS}
    here = Here(queue.policy_loop, queue.people, queue.owner)
    sides = RemoteLabelQueue(here)
    app = build_app(
        QueueOverThere(here) if is_gathered else sides,
        IntakeConfig(requests_per_s=1e6, request_burst=1_000_000),
    )
    acknowledged: dict[str, int] = {}
    clients = [
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False),
            base_url="http://127.0.0.1",
            headers={"Authorization": f"Bearer {token}"},
        )
        for token in tokens.values()
    ]
    with planned(FaultPlan(seed=seed, faults=FAULTS)):
        for version in (1, 2):
            policy = make_policy(version, 8 * version)
            await again(partial(sides.policy_loop.set_progress, policy.episodes, policy))
        made = await ask(sides.policy_loop)
        await asyncio.gather(*(work(client, acknowledged) for client in clients))
    for client in clients:
        await client.aclose()
    await queue.close()

    reopened = SqlLedger.open(tmp_path / "ledger.sqlite", "run-1")
    events = reopened.events()
    assert made == len(reopened.queries())
    reopened.close()
    labels = [event for event in events if isinstance(event, Submitted)]
    assert len(labels) == len(acknowledged) == made >= 30
    assert len({label.query_id for label in labels}) == made
    check_history(events, acknowledged, {event.event_id: event for event in events})
