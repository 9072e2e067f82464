"""Changes of mind beside decisions: none comes after one that rests on what it would change."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from label_queue.config import LabelsConfig
from label_queue.labeling.submissions import LabelAnswer, LabelSubmission
from label_queue.labeling.tasks import Task
from label_queue.queue import LabelQueue
from label_queue.schedule import LabelSchedule
from protocol.errors import LabelConflict
from protocol.labels import Excluded, Revised, Submitted
from tests.support.labels import ManualClock, make_config
from tests.support.memory_ledger import MemoryLedger
from tests.unit.label_queue.gold_tasks import answer, take, with_gold
from tests.unit.label_queue.labeling import answer_orders, label


def open_queue(ledger: MemoryLedger, config: LabelsConfig | None = None) -> LabelQueue:
    config = config or make_config()
    schedule = LabelSchedule.of(config, num_episodes=100, mode="online")
    return LabelQueue(ledger, config, schedule, run_id="run-1", seed=1, clock=ManualClock())


async def labelled(ledger: MemoryLedger, count: int) -> tuple[LabelQueue, Submitted]:
    """Let bob give some labels; return the first."""
    queue = open_queue(ledger)
    await answer_orders(queue)
    await label(queue, count, "bob")
    first = ledger.events()[0]
    assert isinstance(first, Submitted)
    return queue, first


def choosing(task: Task, *, best: bool) -> LabelSubmission:
    """Answer gold rightly or not; of what is no gold choose what is shown first."""
    names = [each.candidate_id for each in task.candidates if each.text.startswith("best") == best]
    choice = names[0] if names else task.candidates[0].candidate_id
    return LabelSubmission(assignment_id=task.assignment_id, outcome="choice", choice=choice)


def skipping(label: Submitted, revision: int = 1) -> LabelSubmission:
    return LabelSubmission(assignment_id=label.assignment_id, revision=revision, outcome="skip")


async def test_changes_in_a_batch_that_suspends_come_before_what_suspends(tmp_path: Path) -> None:
    config = with_gold(tmp_path, 60, share_first=0.5, first_tasks=1_000, share=0.5)
    ledger = MemoryLedger()
    queue = open_queue(ledger, config)
    standings = queue.state.history.standings
    while standings["ann"].state != "active":
        await answer(queue, await take(queue))
    for _ in range(8):
        await answer(queue, await take(queue))
    tasks = [await take(queue) for _ in range(30)]
    golds = [task for task in tasks if any(c.text.startswith("best") for c in task.candidates)]
    kept = [
        each
        for each in ledger.events()
        if isinstance(each, Submitted) and queue.state.history.trains(each.seq)
    ]
    batch = [choosing(task, best=False) for task in golds] + [skipping(each) for each in kept]
    results = await queue.people.submit("ann", batch)
    assert standings["ann"].alarm is not None
    assert all(isinstance(result, LabelAnswer) for result in results)
    changes = [each.seq for each in ledger.events() if isinstance(each, Revised)]
    wrong = [each.seq for each in ledger.events() if isinstance(each, Submitted)][-len(golds) :]
    assert len(changes) == len(kept) > 0
    assert max(changes) < min(wrong)
    [late] = await queue.people.submit("ann", [skipping(kept[0], revision=2)])
    assert isinstance(late, LabelConflict)
    await queue.close()


async def test_an_exclusion_that_comes_first_wins_over_a_change_that_was_checked_before_it() -> (
    None
):
    ledger = MemoryLedger()
    queue, first = await labelled(ledger, 5)
    writing, go_on = asyncio.Event(), asyncio.Event()
    write = queue.commits.write

    async def late(records, still=None, begins=()):  # type: ignore[no-untyped-def]
        if any(isinstance(record, Revised) for record in records) and not writing.is_set():
            writing.set()
            await go_on.wait()
        return await write(records, still, begins)

    queue.commits.write = late  # type: ignore[method-assign]
    changing = asyncio.create_task(queue.people.submit("bob", [skipping(first)]))
    await writing.wait()
    await queue.owner.exclude("bob", 4, "the first three are good")
    go_on.set()
    [refused] = await changing
    assert isinstance(refused, LabelConflict)
    assert isinstance(ledger.events()[-1], Excluded)
    assert queue.state.history.num_preferences == 3
    await queue.close()


async def test_a_change_with_hundreds_of_bad_lines_is_one_commit_with_them() -> None:
    ledger = MemoryLedger()
    queue, first = await labelled(ledger, 5)
    junk = [LabelSubmission(assignment_id=f"x{number}", outcome="tie") for number in range(300)]
    (changed, *refused), _ = await asyncio.gather(
        queue.people.submit("bob", [skipping(first), *junk]),
        queue.owner.exclude("bob", 4, "the first three are good"),
    )
    assert len(refused) == 300
    assert not any(isinstance(each, LabelAnswer) for each in refused)
    changes = [each.seq for each in ledger.events() if isinstance(each, Revised)]
    [excluded] = [each.seq for each in ledger.events() if isinstance(each, Excluded)]
    assert isinstance(changed, LabelAnswer) == bool(changes)
    assert all(seq < excluded for seq in changes)
    await queue.close()


@pytest.mark.parametrize("count", [2, 3])
async def test_several_changes_of_one_label_in_a_batch_are_taken_in_turn(count: int) -> None:
    ledger = MemoryLedger()
    queue, first = await labelled(ledger, 1)
    batch = [replace(skipping(first), revision=number) for number in range(1, count + 1)]
    results = await queue.people.submit("bob", batch)
    assert all(isinstance(result, LabelAnswer) for result in results)
    latest = queue.state.history.latest(first.label_id)
    assert latest is not None
    assert latest.revision == count
    await queue.close()


async def test_two_at_once_who_change_one_label_are_told_apart() -> None:
    ledger = MemoryLedger()
    queue, first = await labelled(ledger, 1)
    tie = replace(skipping(first), outcome="tie")
    found = await asyncio.gather(
        queue.people.submit("bob", [skipping(first)]), queue.people.submit("bob", [tie])
    )
    kinds = sorted(type(result).__name__ for [result] in found)
    assert kinds == ["LabelAnswer", "LabelConflict"]
    assert sum(isinstance(each, Revised) for each in ledger.events()) == 1
    await queue.close()
