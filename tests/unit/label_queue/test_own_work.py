"""What labelers see of their own work."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from label_queue.config import LeaseConfig
from label_queue.connectors.translation import as_retraction
from label_queue.labeling.guidelines import read_guidelines
from label_queue.labeling.submissions import LabelAnswer, LabelSubmission, Span
from label_queue.quality_config import QualityConfig
from label_queue.queue import LabelQueue
from label_queue.schedule import LabelSchedule
from protocol.errors import InputError, MissingError
from protocol.labels import LabelChange, Outcome
from tests.support.labels import (
    ManualClock,
    make_assignment,
    make_config,
    make_event,
    make_query,
)
from tests.support.memory_ledger import MemoryLedger
from tests.support.present import present
from tests.unit.label_queue.conftest import MakeQueue
from tests.unit.label_queue.labeling import answer_orders, label, submit


async def test_a_refreshed_page_finds_its_tasks(queue: LabelQueue, clock: ManualClock) -> None:
    await answer_orders(queue)
    first = await queue.people.next_task("ann", 0.0)
    second = await queue.people.next_task("ann", 0.0)
    await queue.people.next_task("bob", 0.0)
    assert (await queue.people.held_tasks("ann")).tasks == (first, second)
    clock.now += 60.0
    assert first is not None
    until = (await queue.people.heartbeat("ann", first.assignment_id)).lease_until
    assert [task.lease_until for task in (await queue.people.held_tasks("ann")).tasks] == [
        until,
        until - 60.0,
    ]
    assert second is not None
    await submit(queue, LabelSubmission(assignment_id=second.assignment_id, outcome="tie"))
    assert [task.assignment_id for task in (await queue.people.held_tasks("ann")).tasks] == [
        first.assignment_id
    ]
    clock.now = until
    assert (await queue.people.held_tasks("ann")).tasks == ()


async def test_progress_counts_today_and_all(queue: LabelQueue, clock: ManualClock) -> None:
    await answer_orders(queue)
    await label(queue, 2, "ann")
    clock.now += 86_400.0
    await answer_orders(queue)
    await label(queue, 3, "ann", outcome="skip")
    me = await queue.people.me("ann")
    assert (me.labeler_id, me.labels, me.labels_today) == ("ann", 5, 3)
    assert not me.cord.is_pulled
    await queue.people.pull_cord("bob", "it swears")
    nobody = await queue.people.me("carl")
    assert (nobody.labels, nobody.labels_today, nobody.last) == (0, 0, None)
    assert (nobody.cord.pulled_by, nobody.cord.reason) == ("bob", "it swears")


async def test_the_last_answer_comes_back_whole_and_can_be_changed(queue: LabelQueue) -> None:
    await answer_orders(queue)
    await label(queue, 1, "ann")
    task = await queue.people.next_task("ann", 0.0)
    assert task is not None
    name = task.candidates[1].candidate_id
    given = LabelSubmission(
        assignment_id=task.assignment_id,
        outcome="choice",
        choice=name,
        strength=3,
        spans=(Span(candidate_id=name, start=0, end=2, mark="good"),),
        comment="short",
        reason="because",
        shown_at=1.0,
        first_action_at=2.0,
        submitted_at=3.0,
        active_ms=4,
    )
    await submit(queue, given)
    last = (await queue.people.me("ann")).last
    assert last is not None
    assert last.task == task
    assert last.submission == given
    changed = replace(last.submission, revision=1, strength=1)
    assert isinstance(await submit(queue, changed), LabelAnswer)
    last = (await queue.people.me("ann")).last
    assert last is not None
    assert (last.submission.revision, last.submission.strength) == (1, 1)


async def test_a_label_taken_back_elsewhere_is_no_last_answer(
    queue: LabelQueue, ledger: MemoryLedger, make_queue: MakeQueue
) -> None:
    await answer_orders(queue)
    await label(queue, 1, "ann")
    [given] = ledger.events()
    assert isinstance(given, LabelChange)
    ledger.write([as_retraction(given, connector="jsonl", at=given.received_at + 1.0)])
    assert (await make_queue().people.me("ann")).last is None


@pytest.mark.parametrize("purpose", ["gold", "repeat"])
async def test_neither_leased_tasks_nor_the_last_answer_say_what_a_task_was_for(
    make_queue: MakeQueue, purpose: str
) -> None:
    shares = {"gold": {"share_first": 0.9, "share": 0.9}, "repeat_share": 0.0}
    if purpose == "repeat":
        shares = {"gold": {"share_first": 0.0, "share": 0.0}, "repeat_share": 0.9}
    config = make_config(
        quality=QualityConfig.model_validate({**shares, "repeat_after": 1}),
        lease=LeaseConfig(max_open=100),
    )
    queue = make_queue(config)
    await answer_orders(queue)
    board = queue.state.board
    if purpose == "gold":
        for query in list(board.queries.values())[-3:]:
            await queue.owner.make_gold(query.query_id, query.candidates[0].candidate_id)
    # A tie would be a wrong answer to gold, and enough of these end in no more tasks.
    outcome: Outcome = "skip" if purpose == "gold" else "tie"
    await label(queue, 6, "ann", outcome=outcome)

    def is_on_top(assignment_id: str) -> bool:
        return board.queries[board.assignments[assignment_id].query_id].purpose == purpose

    for _ in range(10):
        task = present(await queue.people.next_task("ann", 0.0))
        if is_on_top(task.assignment_id):
            break
    assert is_on_top(task.assignment_id)
    assert task in (await queue.people.held_tasks("ann")).tasks
    answer = LabelSubmission(assignment_id=task.assignment_id, outcome=outcome)
    await submit(queue, answer)
    last = (await queue.people.me("ann")).last
    assert last is not None
    assert (last.task, last.submission) == (task, answer)
    assert purpose not in str(asdict(last))
    undone = replace(answer, revision=1, outcome="both_bad")
    assert isinstance(await submit(queue, undone), LabelAnswer)


async def test_guidelines_are_read_once_and_shown_to_all(
    ledger: MemoryLedger, tmp_path: Path
) -> None:
    path = tmp_path / "guidelines.md"
    path.write_text("# Prefer π", encoding="utf-8")
    config = make_config(guidelines=path, guideline_version="7")
    schedule = LabelSchedule.of(config, num_episodes=100, mode="online")
    text = read_guidelines(config.guidelines)
    queue = LabelQueue(ledger, config, schedule, run_id="run-1", seed=1, guidelines=text)
    path.unlink()
    me = await queue.people.me("ann")
    assert (me.guidelines, me.guideline_version) == ("# Prefer π", "7")
    await queue.close()


def test_guidelines_that_cannot_be_read_name_the_key(tmp_path: Path) -> None:
    assert read_guidelines(None) == ""
    with pytest.raises(MissingError, match=r"labels\.guidelines: .*none\.md is not a file"):
        read_guidelines(tmp_path / "none.md")
    path = tmp_path / "latin.md"
    path.write_bytes(b"\xe9\xff")
    with pytest.raises(InputError, match=r"labels\.guidelines: .* is not UTF-8"):
        read_guidelines(path)


@pytest.mark.parametrize(
    "said",
    [
        {"shown_at": 1_760_000_000_000.0, "submitted_at": -1.0, "first_action_at": -0.5},
        {"active_ms": -5},
        {"active_ms": 10**9},
        {"comment": "long " * 1_000},
        {"reason": "long " * 1_000},
        {"spans": (("q0-a", 0, 1, "good"),) * 300},
    ],
    ids=["times", "negative", "long ago", "comment", "reason", "marks"],
)
async def test_an_imported_answer_that_nobody_could_send_is_shown_and_can_be_changed(
    make_queue: MakeQueue, ledger: MemoryLedger, said: dict[str, Any]
) -> None:
    query = make_query(0)
    event = replace(make_event(query, "ann"), **said)
    ledger.write([query, make_assignment(query, "ann"), event])
    queue = make_queue()
    last = (await queue.people.me("ann")).last
    assert last is not None
    assert last.submission.choice == event.choice
    revised = replace(last.submission, revision=1, outcome="tie", choice=None)
    assert isinstance(await submit(queue, revised), LabelAnswer)
