"""A full disk stops the steps and says so; the run goes on by itself when there is room."""

from __future__ import annotations

import asyncio

import pytest

from label_queue.asking import asker
from label_queue.ledger.room import REFUSED_FOR_S, DiskRoom
from label_queue.queue import LabelQueue
from tests.support.labels import ManualClock
from tests.support.memory_ledger import MemoryLedger
from tests.support.messages import make_policy
from tests.unit.label_queue.labeling import answer_orders, label


def test_room_is_wanted_below_the_reserve_in_words_that_stay_the_same() -> None:
    free = [200.0, 99.0, 50.0, 100.0]
    room = DiskRoom(lambda: free.pop(0), 100, "/runs/a")
    assert room.want() == ""
    words = room.want()
    assert "/runs/a" in words
    assert "free space" in words
    assert room.want() == words
    assert room.want() == ""


def test_a_refusal_counts_for_a_while_or_until_something_is_stored() -> None:
    clock = ManualClock()
    room = DiskRoom(lambda: 1e12, 100, "/runs/a", now=clock)
    room.refused()
    assert room.want()
    clock.now += REFUSED_FOR_S
    assert room.want() == ""
    room.refused()
    room.stored()
    assert room.want() == ""


async def test_steps_wait_for_room_and_go_on_by_themselves(
    queue: LabelQueue, ledger: MemoryLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asker, "POLL_S", 0.01)
    await queue.owner.add_labeler("ann")
    await answer_orders(queue)
    await label(queue, 10)
    assert await queue.policy_loop.wait_until_allowed(0) < 60
    ledger.is_full = True
    assert (await queue.owner.overview()).trouble == ""  # nobody looked yet
    words = await queue.policy_loop.want_of_room()
    assert "free space" in words
    assert (await queue.owner.overview()).trouble == words
    step = asyncio.create_task(queue.policy_loop.wait_until_allowed(0))
    await asyncio.sleep(0.05)
    assert not step.done()
    ledger.is_full = False
    await asyncio.wait_for(step, 10)
    assert await queue.policy_loop.want_of_room() == ""
    assert (await queue.owner.overview()).trouble == ""


async def test_a_version_that_was_made_is_written_down_once_there_is_room(
    queue: LabelQueue, ledger: MemoryLedger
) -> None:
    ledger.is_full = True
    telling = asyncio.create_task(queue.policy_loop.set_progress(8, make_policy(1, 8)))
    await asyncio.sleep(0.01)
    assert not telling.done()
    ledger.is_full = False
    await asyncio.wait_for(telling, 10)
    assert queue.state.policy_version == 1


async def test_a_rollback_needs_no_room_to_begin(queue: LabelQueue, ledger: MemoryLedger) -> None:
    await queue.policy_loop.set_progress(8, make_policy(1, 8))
    await queue.owner.order_rollback(1, "it rhymes")
    ledger.is_full = True
    await asyncio.wait_for(queue.policy_loop.wait_until_allowed(0), 10)
