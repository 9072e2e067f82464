"""Gold retired and gold answered: whom it judges live, after a restart and if both come at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from pathlib import Path

import pytest

from label_queue.quality.gold_tasks import GoldTask
from label_queue.quality.standing import Standing
from label_queue.queue import LabelQueue
from protocol.labels import GoldMade, GoldRetired
from tests.support.memory_ledger import MemoryLedger
from tests.support.real_gold import (
    SOUP,
    answer,
    config_with,
    gold_events,
    is_same,
    query_of,
    shown,
    take,
    take_gold,
    told,
)
from tests.unit.label_queue.conftest import MakeQueue
from tests.unit.label_queue.labeling import answer_orders

RICE = GoldTask(prompt="the rice was", candidates=("dry", "soft", "old", "here"), answer=1)


def standing(queue: LabelQueue, labeler_id: str = "ann") -> Standing:
    return queue.state.history.standings[labeler_id]


# --- retired -------------------------------------------------------------------------------------


async def test_retired_gold_is_asked_of_nobody_also_after_a_restart(
    queue: LabelQueue, make_queue: MakeQueue
) -> None:
    old = (await queue.owner.write_gold(SOUP)).gold_id
    new = (await queue.owner.write_gold(RICE)).gold_id
    row = await queue.owner.retire_gold(old, "too easy", actor="olga")
    assert (row.is_asked, row.decided_by, row.why) == (False, "olga", "too easy")
    for each, name in ((queue, "ann"), (make_queue(config_with()), "bob")):
        asked = [query_of(each, await take(each, name)) for _ in range(10)]
        assert {query.repeat_of for query in asked if query.purpose == "gold"} == {new}
        assert [each.gold_id for each in shown(each, is_asked=False)] == [old]


async def test_what_was_answered_before_counts_and_what_comes_later_judges_nobody(
    queue: LabelQueue, make_queue: MakeQueue
) -> None:
    name = (await queue.owner.write_gold(SOUP)).gold_id
    await answer(queue, await take_gold(queue), "ann", right=False)
    out = [await take_gold(queue) for _ in range(6)]
    before = standing(queue)
    assert (told(queue, name).right, told(queue, name).wrong) == (0, 1)
    await queue.owner.retire_gold(name, "its answer was wrong")
    for task in out:  # by the sixth wrong answer the test would suspend anybody
        await answer(queue, task, "ann", right=False)
    assert standing(queue) == before
    assert (told(queue, name).right, told(queue, name).wrong) == (0, 1)
    is_same(queue, make_queue(config_with()))


async def test_a_change_of_mind_after_the_retirement_changes_no_judgement(
    queue: LabelQueue, make_queue: MakeQueue
) -> None:
    name = (await queue.owner.write_gold(SOUP)).gold_id
    task = await take_gold(queue)
    await answer(queue, task, "ann", right=False)
    before = standing(queue)
    await queue.owner.retire_gold(name, "too easy")
    await answer(queue, task, "ann", right=True, revision=1)
    assert standing(queue) == before
    await queue.owner.bring_back_gold(name, "not so easy")
    await answer(queue, task, "ann", right=True, revision=2)
    assert standing(queue) != before
    assert (told(queue, name).right, told(queue, name).wrong) == (1, 0)
    is_same(queue, make_queue(config_with()))


async def test_with_the_last_gold_retired_newcomers_are_active(
    queue: LabelQueue, make_queue: MakeQueue
) -> None:
    assert standing(queue).state == "active"
    name = (await queue.owner.write_gold(SOUP)).gold_id
    assert standing(queue).state == "probation"
    await answer(queue, await take(queue, "ann"), "ann", right=True)
    await queue.owner.retire_gold(name, "no more")
    await answer(queue, await take(queue, "bob"), "bob", right=True)
    for each in (queue, make_queue(config_with())):
        states = {who: each.state.history.standings[who].state for who in ("ann", "bob", "cid")}
        assert states == {"ann": "probation", "bob": "active", "cid": "active"}
    assert (await queue.owner.gold(offset=0, limit=1)).num_asked == 0


async def test_gold_of_a_file_is_retired_and_stays_so(
    make_queue: MakeQueue, tmp_path: Path
) -> None:
    path = tmp_path / "gold.jsonl"
    path.write_text(json.dumps(SOUP.model_dump(mode="json")) + "\n")
    config = config_with(path=path)
    queue = make_queue(config)
    await answer_orders(queue)
    [row] = shown(queue)
    assert (row.origin, row.made_by, row.is_asked) == ("file", None, True)
    await answer(queue, await take(queue, "ann"), "ann", right=True)
    await queue.owner.retire_gold(row.gold_id, "too easy")
    again = make_queue(config)
    [row] = shown(again)
    assert not row.is_asked
    is_same(queue, again)
    assert queue.state.history.standings["ann"].state == "probation"
    assert queue.state.history.standings["newcomer"].state == "active"
    # To write the same by hand brings it back, and makes no second.
    assert (await again.owner.write_gold(SOUP)).gold_id == row.gold_id
    [row] = shown(again)
    assert row.is_asked


# --- at the same moment --------------------------------------------------------------------------


@pytest.mark.parametrize("is_gold_first", [True, False])
async def test_gold_and_a_newcomers_answer_at_the_same_moment_have_one_order(
    make_queue: MakeQueue, is_gold_first: bool
) -> None:
    queue = make_queue(config_with())
    await answer_orders(queue)
    task = await take(queue, "ann")
    acts: list[Awaitable[object]] = [
        queue.owner.write_gold(SOUP),
        answer(queue, task, "ann", right=True),
    ]
    await asyncio.gather(*(acts if is_gold_first else reversed(acts)))
    assert queue.state.history.standings["newcomer"].state == "probation"
    is_same(queue, make_queue(config_with()))


async def test_an_answer_and_a_retirement_at_the_same_moment_have_one_order(
    make_queue: MakeQueue,
) -> None:
    queue = make_queue(config_with())
    await answer_orders(queue)
    name = (await queue.owner.write_gold(SOUP)).gold_id
    first, second = await take_gold(queue, "ann"), await take_gold(queue, "bob")
    await asyncio.gather(
        answer(queue, first, "ann", right=False),
        queue.owner.retire_gold(name, "now"),
        answer(queue, second, "bob", right=False),
    )
    is_same(queue, make_queue(config_with()))


async def test_decisions_that_come_at_once_are_decided_one_after_the_other(
    queue: LabelQueue, ledger: MemoryLedger
) -> None:
    name = (await queue.owner.write_gold(SOUP)).gold_id
    rows = await asyncio.gather(*(queue.owner.retire_gold(name, "now") for _ in range(5)))
    assert len(set(rows)) == 1
    assert [type(event) for event in gold_events(ledger)] == [GoldMade, GoldRetired]
