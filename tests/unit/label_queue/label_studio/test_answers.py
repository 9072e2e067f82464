"""What people answer in Label Studio: read as it changes, at times whole, or when a hook rings."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from label_queue.connector_config import LabelStudioConfig
from label_queue.connectors.ingest import IngestCounts
from label_queue.connectors.outposts import Outposts
from label_queue.ledger.records import DeadLetter
from protocol.errors import Unauthenticated, UnknownTask
from tests.support.labels import ManualClock, answers
from tests.support.memory_ledger import MemoryLedger
from tests.support.outside import OutsideRun, choices
from tests.support.recorded_label_studio import (
    NAME,
    SECRET,
    TOKEN,
    RecordedLabelStudio,
    created_hook,
    deleted_hook,
    pick,
    shown,
    turn,
)


async def test_answers_come_back_page_by_page_and_once(
    run: OutsideRun, outposts: Outposts, tool: RecordedLabelStudio
) -> None:
    await turn(outposts)
    for i in range(5):
        tool.annotate(f"q{i}", pick("b"), at=f"2026-01-01T00:00:0{i}.5Z")
    await turn(outposts)
    await turn(outposts)

    assert choices(run) == {(f"{NAME}:7", f"q{i}"): shown("b", i) for i in range(5)}
    assert len(run.ledger.events()) == 5
    event = answers(run.ledger.events())[0]
    assert event.active_ms == 4288
    assert event.source.updated_at == "2026-01-01T00:00:00.500000Z"
    pages = [r.query["page"] for r in tool.received if r.method == "GET"][-3:]
    assert pages == ["1", "2", "3"]


async def test_a_change_a_deletion_and_a_restart(
    run: OutsideRun,
    outposts: Outposts,
    tool: RecordedLabelStudio,
    ledger: MemoryLedger,
    config: LabelStudioConfig,
) -> None:
    await turn(outposts)
    first = tool.annotate("q0", pick("a"))
    second = tool.annotate("q1", pick("a"), user=8)
    await turn(outposts)
    first.update(result=pick("c"), updated_at="2026-01-01T00:00:00.25Z", created_ago="1 minute")
    tool.delete(second)
    again = OutsideRun(ledger, [config], ManualClock())
    others = again.outposts([config])
    await turn(others)
    await others.close()

    assert choices(again) == {(f"{NAME}:7", "q0"): shown("c", 0)}
    assert again.total(NAME) == IngestCounts(revised=1, retracted=1)
    # The query of the deleted answer was over: newer ones are asked in its place.
    assert [task["data"]["query_id"] for task in tool.tasks.values()] == ["q0", "q2", "q3", "q4"]


async def test_an_odd_row_holds_up_none_and_takes_nothing_back(
    run: OutsideRun, outposts: Outposts, tool: RecordedLabelStudio, ledger: MemoryLedger
) -> None:
    await turn(outposts)
    first = tool.annotate("q0", pick("a"))
    await turn(outposts)
    tool.task_of("q1")["annotations"].append("none")
    tool.annotate("q1", pick("b"), at="0001-01-01T00:00:00+01:00")
    tool.annotate("q1", [{"type": "rating", "value": {"rating": float("inf")}}])
    tool.annotate("q1", pick("b"), user=9)
    tool.delete(first)
    tool.tasks[999] = {"id": "none", "data": 3, "annotations": []}
    await turn(outposts)
    # The odd task may be what the deleted answer was moved to, so it still stands.
    assert choices(run) == {
        (f"{NAME}:7", "q0"): shown("a", 0),
        (f"{NAME}:9", "q1"): shown("b", 1),
    }
    assert run.total(NAME) == IngestCounts(new=2, refused=4)
    assert sorted(letter.field for letter in ledger.read(DeadLetter)) == [
        "id",
        "id",
        "result.0.value",
        "updated_at",
    ]
    del tool.tasks[999]
    await turn(outposts)
    assert choices(run) == {(f"{NAME}:9", "q1"): shown("b", 1)}


async def test_a_project_that_changes_while_it_is_read_takes_no_label_back(
    run: OutsideRun, outposts: Outposts, tool: RecordedLabelStudio, config: LabelStudioConfig
) -> None:
    await turn(outposts)
    tool.annotate("q3", pick("a"))
    await turn(outposts)
    await outposts.close()
    outposts = run.outposts([config])  # which reads the whole first
    answer = tool.answer

    def answer_and_shrink(request: Any) -> tuple[int, Any]:
        status, body = answer(request)
        if request.query.get("page") == "1":
            del tool.tasks[min(tool.tasks)]
        return status, body

    tool.answer = answer_and_shrink  # type: ignore[method-assign]
    await turn(outposts, fails=True)
    assert choices(run) == {(f"{NAME}:7", "q3"): shown("a", 3)}
    await outposts.close()


LATER = timedelta(minutes=3)


def pages(tool: RecordedLabelStudio) -> list[bool]:
    """Return of each page that was asked for since the last time whether it was of all tasks."""
    asked = [each.query for each in tool.received if each.path == "/api/tasks/"]
    tool.received.clear()
    return ["query" not in query for query in asked]


async def test_a_sweep_reads_what_changed_and_takes_back_what_is_gone_of_it(
    run: OutsideRun, outposts: Outposts, tool: RecordedLabelStudio
) -> None:
    await turn(outposts)
    await turn(outposts)  # which sees the tasks
    tool.now += LATER
    kept, gone = tool.annotate("q0", pick("a")), tool.annotate("q1", pick("a"))
    other = tool.annotate("q1", pick("b"), user=8)
    await turn(outposts)
    assert len(choices(run)) == 3
    pages(tool)
    tool.now += LATER
    tool.change(kept, result=pick("b"), updated_at="2026-01-01T00:04:00Z")
    tool.delete(gone)
    # What was not noted is not read.
    other["result"] = []
    tool.annotate("q2", pick("c"))["result"] = []
    tool.task_of("q2")["updated_at"] = "2026-01-01T00:00:00+00:00"
    await turn(outposts)
    assert choices(run) == {
        (f"{NAME}:7", "q0"): shown("b", 0),
        (f"{NAME}:8", "q1"): shown("b", 1),
    }
    assert set(pages(tool)) == {False}
    assert run.total(NAME).refused == 1


async def test_now_and_then_a_sweep_reads_the_whole(
    run: OutsideRun,
    outposts: Outposts,
    tool: RecordedLabelStudio,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("label_queue.connectors.label_studio.WHOLE_EVERY", 3)
    await turn(outposts)
    tool.annotate("q0", pick("a"))
    await turn(outposts)
    assert len(choices(run)) == 1
    del tool.tasks[tool.task_of("q0")["id"]]
    pages(tool)
    found = []
    for _ in range(6):
        await turn(outposts)
        found.append((set(pages(tool)), len(choices(run))))
    assert found[0] == ({False}, 1)
    assert ({True}, 0) in found
    assert sum(is_whole == {True} for is_whole, _ in found) == 2


async def test_what_was_read_but_not_written_down_is_read_again(
    run: OutsideRun, outposts: Outposts, tool: RecordedLabelStudio, ledger: MemoryLedger
) -> None:
    await turn(outposts)
    await turn(outposts)
    tool.now += LATER
    tool.annotate("q0", pick("a"))
    ledger.is_full = True
    await turn(outposts, fails=True)
    ledger.is_full = False
    pages(tool)
    await turn(outposts)
    assert set(pages(tool)) == {True}
    assert len(choices(run)) == 1


async def test_a_query_with_two_tasks_is_whole_when_both_were_read(
    run: OutsideRun, outposts: Outposts, tool: RecordedLabelStudio
) -> None:
    await turn(outposts)
    first = tool.task_of("q0")
    label = tool.annotate("q0", pick("a"))
    twin = tool.tasks[tool.add_task(first["data"])]  # an import whose answer was lost
    await turn(outposts)
    tool.now += LATER
    twin["updated_at"] = tool.now.isoformat()
    twin["annotations"].append({**label, "id": 900, "completed_by": 8})
    await turn(outposts)
    assert {labeler for labeler, _ in choices(run)} == {f"{NAME}:7", f"{NAME}:8"}


async def test_webhooks_ring_with_the_secret_alone_and_keep_no_token(
    run: OutsideRun, outposts: Outposts, tool: RecordedLabelStudio, ledger: MemoryLedger
) -> None:
    await turn(outposts)
    annotation = tool.annotate("q0", pick("a"))
    created = json.dumps(created_hook(annotation)).encode()
    deleted = json.dumps(deleted_hook(annotation)).encode()
    proof = {"x-andon-hook-secret": SECRET}

    for headers in ({}, {"x-andon-hook-secret": "guess"}):
        with pytest.raises(Unauthenticated):
            await outposts.ring(NAME, headers, created)
    with pytest.raises(UnknownTask):
        await outposts.ring("elsewhere", proof, created)
    assert await outposts.ring(NAME, proof, created)
    assert await outposts.ring(NAME, proof, created)
    await turn(outposts)
    assert len(run.ledger.events()) == 1

    tool.delete(annotation)
    assert await outposts.ring(NAME, proof, deleted)
    await turn(outposts)
    assert choices(run) == {}
    kept = [*ledger.events(), *ledger.assignments(), *ledger.read(DeadLetter)]
    assert TOKEN not in repr(kept)


async def test_an_annotation_that_says_nothing_is_refused_and_the_others_count(
    run: OutsideRun, outposts: Outposts, tool: RecordedLabelStudio
) -> None:
    await turn(outposts)
    tool.annotate("q0", [])
    tool.annotate("q1", pick("a"), at="yesterday")
    tool.annotate("q2", pick("a"))
    await turn(outposts)
    await turn(outposts)
    assert choices(run) == {(f"{NAME}:7", "q2"): shown("a", 2)}
    letters = run.ledger.read(DeadLetter)
    assert [letter.field for letter in letters] == ["result", "updated_at"]
