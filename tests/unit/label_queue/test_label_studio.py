"""Label Studio over HTTP: what goes out, what comes back, and what it does when it is busy."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from label_queue.connector_config import LabelStudioConfig
from label_queue.connectors.ingest import IngestCounts
from label_queue.connectors.outposts import Outposts
from label_queue.ledger.records import DeadLetter
from protocol.errors import ConfigError, Unauthenticated, UnknownTask
from tests.support.labels import ManualClock, answers, make_query
from tests.support.memory_ledger import MemoryLedger
from tests.support.metric_proofs import proves
from tests.support.outside import OutsideRun, choices
from tests.support.outside import shown as shown_by
from tests.support.outside import turn as turn_of
from tests.support.recorded_label_studio import (
    PROJECT,
    TOKEN,
    RecordedLabelStudio,
    created_hook,
    deleted_hook,
    pick,
)
from tests.support.recorded_tool import DROPPED

NAME = "label_studio"
turn, shown = partial(turn_of, NAME), partial(shown_by, NAME)
SECRET = "a secret header"


@pytest.fixture
def tool() -> Iterator[RecordedLabelStudio]:
    with RecordedLabelStudio() as tool:
        yield tool


@pytest.fixture
def config(tool: RecordedLabelStudio, monkeypatch: pytest.MonkeyPatch) -> LabelStudioConfig:
    monkeypatch.setenv("LS_TOKEN", TOKEN)
    monkeypatch.setenv("LS_HOOK", SECRET)
    return LabelStudioConfig(
        kind="label_studio",
        url=tool.url,
        token_env="LS_TOKEN",
        hook_secret_env="LS_HOOK",
        project_id=PROJECT,
        page_size=2,
    )


@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger()


@pytest.fixture
async def run(ledger: MemoryLedger, config: LabelStudioConfig) -> OutsideRun:
    run = OutsideRun(ledger, [config], ManualClock())
    await run.ask(*(make_query(i) for i in range(5)))
    return run


@pytest.fixture
async def outposts(
    run: OutsideRun, config: LabelStudioConfig, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Outposts]:
    monkeypatch.setattr("label_queue.connectors.tool_client.FIRST_WAIT_S", 0.0)
    outposts = run.outposts([config])
    yield outposts
    await outposts.close()


async def test_open_queries_become_tasks_once_and_blind(
    run: OutsideRun, outposts: Outposts, tool: RecordedLabelStudio
) -> None:
    await turn(outposts)
    await turn(outposts)

    assert [task["data"]["query_id"] for task in tool.tasks.values()] == [f"q{i}" for i in range(5)]
    task = tool.task_of("q0")["data"]
    assert task["prompt"] == "the soup was"
    assert task["a"] == f"text of {shown('a', 0)}"
    assert task["items"][1] == {"id": "b", "title": "B", "body": task["b"]}
    assert sorted(task) == ["a", "b", "c", "d", "items", "prompt", "query_id", "run_id"]


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


async def test_a_busy_tool_is_asked_again(
    run: OutsideRun, outposts: Outposts, tool: RecordedLabelStudio
) -> None:
    await turn(outposts)
    tool.annotate("q0", pick("a"))
    tool.faults.extend([(429, {"Retry-After": "0"}), (500, {}), (DROPPED, {})])
    await turn(outposts)
    assert choices(run) == {(f"{NAME}:7", "q0"): shown("a", 0)}


async def test_an_import_that_may_have_been_done_is_not_repeated_blindly(
    run: OutsideRun, outposts: Outposts, tool: RecordedLabelStudio
) -> None:
    answer = tool.answer

    def answer_and_fail(request: Any) -> tuple[int, Any]:
        status, body = answer(request)
        return (504, {}) if request.method == "POST" else (status, body)

    tool.answer = answer_and_fail  # type: ignore[method-assign]
    await turn(outposts, fails=True)
    tool.answer = answer  # type: ignore[method-assign]
    assert len(tool.tasks) == 2  # the first page
    await turn(outposts)
    assert len(tool.tasks) == 5


@proves(
    "labels/connectors_failing",
    "labels/connector_failures",
    "labels/connector_stale",
    "labels/connector_refused",
)
async def test_a_tool_that_is_away_is_shown_and_loses_nothing(
    run: OutsideRun, outposts: Outposts, tool: RecordedLabelStudio
) -> None:
    await turn(outposts)
    tool.annotate("q0", pick("a"))
    tool.stop()
    pauses = [await outposts.runner(NAME).turn() for _ in range(3)]
    [health] = outposts.health()
    assert health.state.startswith("failing: label_studio: GET /api/tasks/: ConnectError")
    assert outposts.runner(NAME).num_failures == 3
    assert outposts.stats()["labels/connectors_failing"] == 1.0
    assert 2.5 <= pauses[0] <= 5.0
    assert 10.0 <= pauses[2] <= 20.0
    tool.start()
    await turn(outposts)
    assert choices(run) == {(f"{NAME}:7", "q0"): shown("a", 0)}
    told = {"labels/connectors_failing": 0.0, "labels/connector_failures": 3.0}
    none = {"labels/connector_stale": 0.0, "labels/connector_refused": 0.0}
    assert outposts.stats() == {**told, **none}
    run.labels.totals[NAME].add(IngestCounts(new=5, stale=2, refused=1))
    some = {"labels/connector_stale": 2.0, "labels/connector_refused": 1.0}
    assert outposts.stats() == {**told, **some}


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


async def test_a_task_begun_since_the_sweep_is_not_deleted(
    run: OutsideRun, outposts: Outposts, tool: RecordedLabelStudio
) -> None:
    await turn(outposts)
    connector = outposts.runner(NAME).connector
    sweep = await connector.sweep(run.labels.offset(NAME))
    assert sweep.tasks is not None
    tool.annotate("q0", pick("a"))
    tool.task_of("q1")["drafts"].append({"id": 1})
    del tool.tasks[tool.task_of("q2")["id"]]
    await connector.withdraw([sweep.tasks[f"q{number}"] for number in range(4)])
    left = {task["data"]["query_id"] for task in tool.tasks.values()}
    assert left >= {"q0", "q1"}
    assert not left & {"q2", "q3"}
    await turn(outposts)
    assert (f"{NAME}:7", "q0") in choices(run)


async def test_a_refused_token_and_a_wrong_project_name_the_mend(
    run: OutsideRun,
    config: LabelStudioConfig,
    tool: RecordedLabelStudio,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LS_TOKEN", "another")
    outposts = run.outposts([config])
    await turn(outposts, fails=True)
    [health] = outposts.health()
    assert "the token in LS_TOKEN is not good for this" in health.state
    assert "another" not in health.state
    await outposts.close()

    monkeypatch.setenv("LS_TOKEN", TOKEN)
    outposts = run.outposts([config.model_copy(update={"project_id": 99})])
    await turn(outposts, fails=True)
    [health] = outposts.health()
    assert "check url and id in the config" in health.state
    await outposts.close()


async def test_without_its_token_nothing_starts(
    run: OutsideRun, config: LabelStudioConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LS_TOKEN")
    with pytest.raises(ConfigError, match="environment variable LS_TOKEN is empty"):
        run.outposts([config])


async def test_another_runs_tasks_are_left_alone(
    run: OutsideRun, outposts: Outposts, tool: RecordedLabelStudio
) -> None:
    other = tool.add_task({"run_id": "run-2", "query_id": "q0", "prompt": "p"})
    tool.add_task({"text": "no task of ours"})
    tool.annotate("q0", pick("a"))
    await turn(outposts)
    assert choices(run) == {}
    assert other in tool.tasks
    assert len(tool.tasks) == 7


async def test_tasks_nobody_wants_any_more_are_withdrawn(
    run: OutsideRun, outposts: Outposts, tool: RecordedLabelStudio
) -> None:
    await turn(outposts)
    tool.annotate("q0", pick("a"))
    tool.task_of("q1")["drafts"].append({"id": 1, "result": []})
    await turn(outposts)
    run.state.board.expire(1e9, 0)
    await turn(outposts)
    assert [task["data"]["query_id"] for task in tool.tasks.values()] == ["q0", "q1"]


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
