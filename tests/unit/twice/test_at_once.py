"""Decisions made twice at the same moment: the second finds the first, as if it came later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, get_args

import pytest

from label_queue.ledger.records import Record, stream_of
from protocol.errors import LabelConflict
from tests.support.messages import make_policy
from tests.support.real_queue import LabelSide
from tests.unit.label_queue.labeling import answer_orders, label

Decision = Callable[[LabelSide], Awaitable[Any]]


def pull_by_a_guard(side: LabelSide) -> Awaitable[Any]:
    """The loops of scoring and of queries meet the same NaN."""
    return side.loop.pull_cord("guard", "NaN in a score", guard="not_finite")


def pull_by_a_labeler(side: LabelSide) -> Awaitable[Any]:
    return side.queue.people.pull_cord("ann", "I do not understand this")


def pull_by_an_owner(side: LabelSide) -> Awaitable[Any]:
    return side.queue.owner.pull_cord("it rhymes")


def order_rollback(side: LabelSide) -> Awaitable[Any]:
    return side.queue.owner.order_rollback(1, "it was better then")


def exclude(side: LabelSide) -> Awaitable[Any]:
    return side.queue.owner.exclude("ann", 1, "random")


def reinstate(side: LabelSide) -> Awaitable[Any]:
    return side.queue.owner.reinstate("bob", "it was somebody else")


async def release(side: LabelSide) -> Any:
    [reason, *_] = (await side.loop.cord()).reasons
    return await side.queue.owner.release_cord("mended", reason.pull_id)


@pytest.fixture
async def side() -> AsyncIterator[LabelSide]:
    side = LabelSide()
    await answer_orders(side.queue)
    for name in ("ann", "bob"):
        await side.queue.owner.add_labeler(name)
        await label(side.queue, 3, name)
    await side.queue.owner.exclude("bob", 1, "random")
    for version in (1, 2):
        await side.loop.set_progress(8 * version, make_policy(version, 8 * version))
    await side.queue.owner.pull_cord("first of all", actor="olga")
    yield side
    await side.close()


def records(side: LabelSide) -> list[Record]:
    kinds = {stream_of(kind): None for kind in get_args(Record)}
    return [record for kind in kinds for record in side.ledger.read(kind)]


@pytest.mark.parametrize(
    "decide",
    [
        pull_by_a_guard,
        pull_by_a_labeler,
        pull_by_an_owner,
        order_rollback,
        release,
        exclude,
        reinstate,
    ],
)
async def test_the_same_decision_made_twice_at_once_is_one(
    side: LabelSide, decide: Decision
) -> None:
    before = len(records(side))
    await asyncio.gather(decide(side), decide(side))
    assert len(records(side)) == before + 1


async def test_of_two_rollbacks_ordered_at_once_one_is_refused(side: LabelSide) -> None:
    first, second = await asyncio.gather(
        *(side.queue.owner.order_rollback(version, "go back") for version in (1, 2)),
        return_exceptions=True,
    )
    assert not isinstance(first, BaseException)
    assert isinstance(second, LabelConflict)
    assert (await side.loop.cord()).rollback_to == 1
