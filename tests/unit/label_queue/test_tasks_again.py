"""Who is given a query once more goes on with the assignment they had: it takes one answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from label_queue.labeling.submissions import LabelAnswer, LabelSubmission
from label_queue.labeling.tasks import Task
from label_queue.queue import LabelQueue
from protocol.labels import Submitted
from tests.support.labels import make_config
from tests.support.memory_ledger import MemoryLedger
from tests.unit.label_queue.conftest import MakeQueue
from tests.unit.label_queue.labeling import answer_orders, submit

ALL_OVERLAP = {"overlap_share": 0.9, "overlap_labelers": 2}


async def a_task(queue: LabelQueue) -> Task:
    task = await queue.people.next_task("ann", 0.0)
    assert task is not None
    return task


async def excluded_by_mistake(queue: LabelQueue, task: Task) -> None:
    """What they hold is let go of; their page has it before them all the while."""
    done = await queue.owner.exclude("ann", 0, "a script")
    assert done.undoable is not None
    await queue.owner.undo("ann", done.undoable, "it was another's")


async def given_back(queue: LabelQueue, task: Task) -> None:
    await queue.people.give_back("ann", task.assignment_id)


@pytest.mark.parametrize("let_go", [excluded_by_mistake, given_back])
@pytest.mark.parametrize("mix", [{}, ALL_OVERLAP])
async def test_a_query_that_was_let_go_of_takes_one_answer_of_a_labeler(
    make_queue: MakeQueue,
    ledger: MemoryLedger,
    let_go: Callable[[LabelQueue, Task], Awaitable[None]],
    mix: dict[str, object],
) -> None:
    queue = make_queue(make_config(**mix))
    for name in ("ann", "bob"):
        await queue.owner.add_labeler(name)
    await answer_orders(queue)
    first = await a_task(queue)
    await let_go(queue, first)
    slots = queue.state.board.open_slots
    shown = [first, *[await a_task(queue) for _ in range(3)]]
    asked = {task.query_id: task for task in shown}
    assert len(asked) == 3
    for task in shown:
        choice = task.candidates[0].candidate_id
        answer = LabelSubmission(assignment_id=task.assignment_id, outcome="choice", choice=choice)
        assert isinstance(await submit(queue, answer), LabelAnswer)
    given = [event for event in ledger.events() if isinstance(event, Submitted)]
    assert len(given) == len({event.query_id for event in given}) == 3
    assert queue.state.history.num_preferences == 3
    assert queue.state.board.open_slots == slots - 3


async def test_the_order_in_which_it_was_shown_stays(make_queue: MakeQueue) -> None:
    queue = make_queue()
    await answer_orders(queue)
    first = await a_task(queue)
    await given_back(queue, first)
    again = await a_task(queue)
    assert again.assignment_id == first.assignment_id
    assert again.candidates == first.candidates
    assert (await queue.people.heartbeat("ann", again.assignment_id)).is_held
