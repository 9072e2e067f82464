"""Whoever lets tasks lapse does not learn by what comes again, or in what order, what is gold."""

from __future__ import annotations

from pathlib import Path

import pytest

from label_queue.labeling.tasks import Task
from label_queue.queue import LabelQueue
from tests.support.labels import ManualClock
from tests.unit.label_queue.conftest import MakeQueue
from tests.unit.label_queue.gold_tasks import take, with_gold

NUM_TASKS = 12


def purposes(queue: LabelQueue, tasks: list[Task]) -> list[str]:
    board = queue.state.board
    ids = [board.assignments[task.assignment_id].query_id for task in tasks]
    return [board.queries[query_id].purpose for query_id in ids]


@pytest.fixture
async def queue(make_queue: MakeQueue, tmp_path: Path) -> LabelQueue:
    queue = make_queue(with_gold(tmp_path))
    for name in ("ann", "bob"):
        await queue.owner.add_labeler(name)
    return queue


async def test_alone_they_come_again_as_they_came(queue: LabelQueue, clock: ManualClock) -> None:
    first = []
    for _ in range(NUM_TASKS):
        first.append(await take(queue))
        clock.now += 1.0
    assert {"gold", "train"} <= set(purposes(queue, first))
    clock.now += 700.0
    again = [await take(queue) for _ in range(NUM_TASKS)]
    assert [task.assignment_id for task in again] == [task.assignment_id for task in first]


async def test_beside_others_gold_does_not_stay_where_all_else_has_gone(
    queue: LabelQueue, clock: ManualClock
) -> None:
    first = [await take(queue) for _ in range(NUM_TASKS)]
    assert 0 < purposes(queue, first).count("gold") < NUM_TASKS
    clock.now += 700.0
    of_bob = [await take(queue, "bob") for _ in range(2 * NUM_TASKS)]
    assert purposes(queue, of_bob).count("train") >= NUM_TASKS
    shown = {task.assignment_id for task in first}
    again = {(await take(queue)).assignment_id for _ in range(NUM_TASKS)}
    assert not shown & again
    for task in first:
        assert not (await queue.people.heartbeat("ann", task.assignment_id)).is_held
