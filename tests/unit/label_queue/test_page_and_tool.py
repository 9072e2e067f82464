"""One person before the page and before a tool at the same moment: each label begins once."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest

from label_queue.connector_config import JsonlConfig
from label_queue.connectors.ingest import OutsideLabels
from label_queue.connectors.port import Annotation, Answer, Sweep
from label_queue.labeling.submissions import LabelAnswer, LabelSubmission
from label_queue.labeling.tasks import Task
from label_queue.queue import LabelQueue
from protocol.errors import DiskFull, LabelConflict
from protocol.labels import Submitted
from tests.support.labels import ManualClock, make_config
from tests.support.memory_ledger import MemoryLedger
from tests.unit.label_queue.labeling import answer_orders

TOOL = JsonlConfig.model_validate(
    {"kind": "jsonl", "path": "unused.jsonl", "labelers": {"9": "ann"}}
)


@pytest.fixture
def tool(queue: LabelQueue) -> OutsideLabels:
    """A tool whose user 9 is ann."""
    numbers = count()
    return OutsideLabels(
        queue.state,
        queue.commits,
        [TOOL],
        limits=make_config().intake,
        guideline_version="1",
        clock=ManualClock(),
        new_id=lambda: f"outside-{next(numbers)}",
    )


def said(query_id: str, external_id: str = "1") -> Sweep:
    """What ann said in the tool."""
    answer = Annotation(
        external_id=external_id,
        updated_at="",
        payload_sha256=f"sha-{external_id}",
        user="9",
        query_id=query_id,
        answer=Answer(outcome="choice", choice="a"),
    )
    return Sweep(answers=(answer,))


def tie(task: Task) -> LabelSubmission:
    return LabelSubmission(assignment_id=task.assignment_id, outcome="tie")


def labels(ledger: MemoryLedger) -> list[Submitted]:
    return [each for each in ledger.events() if isinstance(each, Submitted)]


def query_of(queue: LabelQueue, task: Task) -> str:
    """What the tool knows a task's query by; the page is told another id."""
    return queue.state.board.assignments[task.assignment_id].query_id


async def take(queue: LabelQueue) -> Task:
    await answer_orders(queue)
    task = await queue.people.next_task("ann", 0.0)
    assert task is not None
    return task


async def test_of_two_first_answers_at_once_the_pages_is_the_label_and_the_tools_a_change(
    queue: LabelQueue, ledger: MemoryLedger, tool: OutsideLabels
) -> None:
    task = await take(queue)
    open_slots = queue.state.board.open_slots
    [[answer], counts] = await asyncio.gather(
        queue.people.submit("ann", [tie(task)]), tool.ingest("jsonl", said(query_of(queue, task)))
    )
    assert isinstance(answer, LabelAnswer)
    assert [event.event_id for event in labels(ledger)] == [answer.event_id]
    assert (counts.new, counts.revised) == (0, 1)
    latest = queue.state.history.latest(task.assignment_id)
    assert latest is not None
    assert (latest.revision, latest.source.system) == (1, "jsonl")
    assert queue.state.history.num_submitted == 1
    assert queue.state.board.open_slots == open_slots - 1


async def test_of_two_first_answers_at_once_the_pages_is_refused_where_the_tools_was_first(
    queue: LabelQueue, ledger: MemoryLedger, tool: OutsideLabels
) -> None:
    task = await take(queue)
    [counts, [answer]] = await asyncio.gather(
        tool.ingest("jsonl", said(query_of(queue, task))), queue.people.submit("ann", [tie(task)])
    )
    assert counts.new == 1
    assert isinstance(answer, LabelConflict)
    assert "changed elsewhere" in answer.message
    [label] = labels(ledger)
    assert (label.label_id, label.source.system) == (task.assignment_id, "jsonl")


async def test_a_query_that_is_answered_in_a_tool_meanwhile_is_not_given_out_too(
    queue: LabelQueue, ledger: MemoryLedger, tool: OutsideLabels
) -> None:
    await answer_orders(queue)
    first, second, *_ = queue.state.board.open_queries(0.0)
    counts, task = await asyncio.gather(
        tool.ingest("jsonl", said(first.query_id)), queue.people.next_task("ann", 0.0)
    )
    assert counts.new == 1
    assert task is not None
    assert query_of(queue, task) == second.query_id
    assert queue.state.board.num_leased("ann", 0.0) == 1


async def test_an_answer_in_a_tool_is_to_the_assignment_that_is_given_out_meanwhile(
    queue: LabelQueue, ledger: MemoryLedger, tool: OutsideLabels
) -> None:
    await answer_orders(queue)
    first, *_ = queue.state.board.open_queries(0.0)
    task, _ = await asyncio.gather(
        queue.people.next_task("ann", 0.0), tool.ingest("jsonl", said(first.query_id))
    )
    assert task is not None
    assert [each.assignment_id for each in ledger.assignments()] == [task.assignment_id]
    [label] = labels(ledger)
    assert label.label_id == task.assignment_id


async def test_one_answer_sent_twice_at_once_is_thanked_for_twice_and_counts_once(
    queue: LabelQueue, ledger: MemoryLedger
) -> None:
    task = await take(queue)
    found = await asyncio.gather(*(queue.people.submit("ann", [tie(task)]) for _ in range(3)))
    assert len({repr(answer) for [answer] in found}) == 1
    assert [type(answer) for [answer] in found] == [LabelAnswer] * 3
    assert len(labels(ledger)) == 1


async def test_a_label_whose_first_answer_was_refused_by_the_disk_can_begin_again(
    queue: LabelQueue, ledger: MemoryLedger, tool: OutsideLabels
) -> None:
    task = await take(queue)
    ledger.is_full = True
    with pytest.raises(DiskFull):
        await queue.people.submit("ann", [tie(task)])
    ledger.is_full = False
    assert (await tool.ingest("jsonl", said(query_of(queue, task)))).new == 1
    assert len(labels(ledger)) == 1
    assert len(ledger.assignments()) == 1
