r"""A real Label Studio, where there is one: what is asked of it means what we take it to mean.

It is not installed with the tests: its requirements would not fit beside ours.

    pip install label-studio      (in an environment of its own)
    LABEL_STUDIO_USERNAME=a@example.org LABEL_STUDIO_PASSWORD=password-1 \
        LABEL_STUDIO_USER_TOKEN=TOKEN LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN=true \
        label-studio start --no-browser --port 8899
    ANDON_LABEL_STUDIO_URL=http://127.0.0.1:8899 ANDON_LABEL_STUDIO_TOKEN=TOKEN pytest …
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from label_queue.connector_config import LabelStudioConfig
from label_queue.connectors import label_studio
from label_queue.connectors.ingest import IngestCounts
from label_queue.connectors.outposts import Outposts
from label_queue.connectors.rows import rows_of
from tests.support.labels import ManualClock, make_query
from tests.support.memory_ledger import MemoryLedger
from tests.support.outside import OutsideRun, choices, shown, turn
from tests.support.recorded_label_studio import pick

URL = os.environ.get("ANDON_LABEL_STUDIO_URL", "")
TOKEN = os.environ.get("ANDON_LABEL_STUDIO_TOKEN", "")
NAME = "label_studio"
DOCS = Path(__file__).parents[3] / "docs" / "connectors.md"

pytestmark = pytest.mark.skipif(not URL, reason="no ANDON_LABEL_STUDIO_URL")


@pytest.fixture
def api() -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Token {TOKEN}"}
    with httpx.Client(base_url=URL, headers=headers, timeout=60.0, trust_env=False) as client:
        yield client


@pytest.fixture
def project(api: httpx.Client) -> Iterator[int]:
    """A project with the labeling configuration of docs/connectors.md."""
    view = re.findall(r"```xml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.S)[0]
    made = done(api.post("/api/projects/", json={"title": "andon", "label_config": view}))
    yield made["id"]
    api.delete(f"/api/projects/{made['id']}/")


def done(response: httpx.Response) -> Any:
    assert response.is_success, response.text
    return response.json() if response.content else None


class Annotators:
    """People at work in one project."""

    def __init__(self, api: httpx.Client, project: int) -> None:
        self._api = api
        self._project = project

    def tasks(self) -> dict[str, int]:
        """Return the ids of the tasks by query."""
        asked: dict[str, Any] = {"project": self._project, "fields": "all", "page_size": 100}
        found = done(self._api.get("/api/tasks/", params=asked))["tasks"]
        return {task["data"]["query_id"]: task["id"] for task in found}

    def annotate(self, query_id: str, letter: str) -> int:
        path = f"/api/tasks/{self.tasks()[query_id]}/annotations/"
        made: int = done(self._api.post(path, json={"result": pick(letter), "lead_time": 3.5}))[
            "id"
        ]
        return made

    def draft(self, query_id: str) -> None:
        path = f"/api/tasks/{self.tasks()[query_id]}/drafts"
        done(self._api.post(path, json={"result": pick("a"), "lead_time": 1.0}))

    def change(self, annotation: int, letter: str) -> None:
        done(self._api.patch(f"/api/annotations/{annotation}/", json={"result": pick(letter)}))

    def delete(self, annotation: int) -> None:
        done(self._api.delete(f"/api/annotations/{annotation}/"))


async def test_a_run_and_a_real_label_studio(
    api: httpx.Client, project: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LS_TOKEN", TOKEN)
    monkeypatch.setattr(label_studio, "OVERLAP", timedelta(0))
    read: list[int] = []

    def counted(model: Any, rows: Any) -> Any:
        read.append(len(rows))
        return rows_of(model, rows)

    monkeypatch.setattr(label_studio, "rows_of", counted)
    config = LabelStudioConfig(
        kind="label_studio", url=URL, token_env="LS_TOKEN", project_id=project, page_size=3
    )
    run = OutsideRun(MemoryLedger(), [config], ManualClock())
    await run.ask(*(make_query(number) for number in range(7)))
    outposts: Outposts = run.outposts([config])
    people = Annotators(api, project)

    async def swept() -> IngestCounts:
        before = run.total(NAME).as_dict()
        await turn(NAME, outposts)
        after = run.total(NAME).as_dict()
        return IngestCounts(**{name: after[name] - before[name] for name in after})

    await swept()
    assert len(people.tasks()) == 7
    await swept()

    first, second = people.annotate("q1", "b"), people.annotate("q4", "a")
    assert await swept() == IngestCounts(new=2)
    people.change(first, "c")
    people.delete(second)
    assert await swept() == IngestCounts(revised=1, retracted=1)
    [(_, query_id)] = choices(run)
    assert query_id == "q1"
    assert list(choices(run).values()) == [shown(NAME, "c", 1)]
    third = people.annotate("q6", "a")
    read.clear()
    await swept()
    assert max(read) < 7, "the tasks that changed were read, and no others"

    # All queries expire. One was begun since the sweep that found it untouched.
    connector = outposts.runner(NAME).connector
    sweep = await connector.sweep(run.labels.offset(NAME))
    assert sweep.tasks is not None
    people.draft("q2")
    fourth = people.annotate("q3", "b")
    wanted = {"q1", "q6"}
    await connector.withdraw([task for name, task in sweep.tasks.items() if name not in wanted])
    assert set(people.tasks()) == {"q1", "q2", "q3", "q6"}
    assert (await swept()).new >= 1
    assert {event.source.external_id for event in run.current_labels().values()} == {
        *(str(each) for each in (first, third, fourth))
    }
    await outposts.close()
