"""An outside tool before the label queue as it runs: Ray actors, webhooks, a killed one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from label_queue.config import LabelsConfig
from label_queue.folds.dataset import current_labels
from label_queue.http_client import open_client
from label_queue.schedule import LabelSchedule
from label_queue.shell import QUEUE_OPTIONS, LabelQueueShell, RemoteLabelQueue
from protocol.labels import AnswerEvent
from protocol.remote import Remote, spawn
from tests.support.beside import events_written
from tests.support.label_queue_contract import fill
from tests.support.labels import make_config
from tests.support.patience import PATIENCE_S
from tests.support.ports import free_port
from tests.support.recorded_label_studio import (
    PROJECT,
    TOKEN,
    RecordedLabelStudio,
    created_hook,
    deleted_hook,
    pick,
)
from tests.support.served_intake import served_intake

SECRET = "a secret header"
ENVIRONMENT = {"LS_TOKEN": TOKEN, "LS_HOOK": SECRET, "NO_PROXY": "127.0.0.1"}
PROOF = {"X-Andon-Hook-Secret": SECRET}


@pytest.fixture
def tool() -> Iterator[RecordedLabelStudio]:
    with RecordedLabelStudio() as tool:
        yield tool


@pytest.fixture
def config(tool: RecordedLabelStudio) -> LabelsConfig:
    """Swept when rung alone, and at the start."""
    connector = {
        "kind": "label_studio",
        "url": tool.url,
        "token_env": "LS_TOKEN",
        "hook_secret_env": "LS_HOOK",
        "project_id": PROJECT,
        "sweep_s": 3_600.0,
        "ring_s": 0.0,
    }
    return make_config(initial=3, connectors=[connector])


def start_queue(path: Path, config: LabelsConfig, name: str) -> Remote[LabelQueueShell]:
    options = {**QUEUE_OPTIONS, "name": name, "runtime_env": {"env_vars": ENVIRONMENT}}
    return spawn(LabelQueueShell, "the label queue", options)(
        config, run_id="run-1", ledger=path, episodes=1_000, mode="online", seed=1
    )


def labels_of(path: Path) -> dict[str, AnswerEvent]:
    labels = current_labels(events_written(path))
    return {label.query_id: label for label in labels.values()}


async def test_labels_of_a_tool_survive_a_killed_queue(
    ray_session: None, tool: RecordedLabelStudio, config: LabelsConfig, tmp_path: Path
) -> None:
    import ray

    first, second, port = uuid4().hex, uuid4().hex, free_port()
    path = tmp_path / "ledger.sqlite"
    schedule = LabelSchedule.of(config, num_episodes=1_000, mode="online")
    episodes = next(n for n in range(1_000) if schedule.wanted(n) == 4)
    queue = start_queue(path, config, first)
    await queue.ask(LabelQueueShell.start_connectors)
    sides = RemoteLabelQueue(queue)
    await fill(sides)
    hooks = open_client(httpx.AsyncClient, f"http://127.0.0.1:{port}", timeout=PATIENCE_S)

    async def ring(body: object, headers: dict[str, str]) -> int:
        return (await hooks.post("/hooks/label_studio", json=body, headers=headers)).status_code

    with served_intake(first, config.intake, port=port):
        assert await ring({"action": "PROJECT_UPDATED"}, PROOF) == 200
        assert await asyncio.to_thread(tool.wait_until, lambda: len(tool.tasks) == 7)
        query_ids = [task["data"]["query_id"] for task in tool.tasks.values()]
        made = [tool.annotate(query_id, pick("b")) for query_id in query_ids[:3]]
        assert await ring(created_hook(made[0]), {}) == 401
        assert [await ring(created_hook(each), PROOF) for each in made + made] == [200] * 6
    await sides.policy_loop.wait_until_allowed(0)

    ray.kill(queue.handle)
    tool.delete(made[0])
    made[1].update(result=pick("c"), updated_at="2026-01-02T00:00:00Z")
    later = [tool.annotate(query_id, pick("a"), user=8) for query_id in query_ids[3:5]]
    queue = start_queue(path, config, second)
    await queue.ask(LabelQueueShell.start_connectors)
    sides = RemoteLabelQueue(queue)
    await fill(sides)
    await sides.policy_loop.wait_until_allowed(episodes)

    labels = labels_of(path)
    assert sorted(labels) == sorted(query_ids[1:5])
    assert [labels[query_id].revision for query_id in query_ids[1:5]] == [1, 0, 0, 0]
    assert {labels[query_id].labeler_id for query_id in query_ids[3:5]} == {"label_studio:8"}
    [health] = (await sides.owner.overview()).connectors
    assert health.state == "ok"
    assert (await sides.policy_loop.stats())["labels/connector_failures"] == 0

    tool.delete(later[0])
    with served_intake(second, config.intake, port=port):
        for _ in range(2):  # the second sweep begins once the first is written down
            tool.received.clear()
            assert await ring(deleted_hook(later[0]), PROOF) == 200
            assert await asyncio.to_thread(tool.wait_until, lambda: len(tool.received) > 0)
    assert sorted(labels_of(path)) == sorted([*query_ids[1:3], query_ids[4]])
    await hooks.aclose()
    await queue.ask(LabelQueueShell.close)
    ray.kill(queue.handle)
    assert TOKEN.encode() not in path.read_bytes()
