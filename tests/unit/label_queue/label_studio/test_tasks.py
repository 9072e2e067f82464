"""Queries as tasks of Label Studio: there once and blind, also where it is busy or away."""

from __future__ import annotations

from typing import Any

import pytest

from label_queue.connector_config import LabelStudioConfig
from label_queue.connectors.ingest import IngestCounts
from label_queue.connectors.outposts import Outposts
from protocol.errors import ConfigError
from tests.support.metric_proofs import proves
from tests.support.outside import OutsideRun, choices
from tests.support.recorded_label_studio import NAME, TOKEN, RecordedLabelStudio, pick, shown, turn
from tests.support.recorded_tool import DROPPED


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
