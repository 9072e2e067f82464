"""A recorded Label Studio, and the outside part of a label queue that asks it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from label_queue.connector_config import LabelStudioConfig
from label_queue.connectors.outposts import Outposts
from tests.support.labels import ManualClock, make_query
from tests.support.memory_ledger import MemoryLedger
from tests.support.outside import OutsideRun
from tests.support.recorded_label_studio import PROJECT, SECRET, TOKEN, RecordedLabelStudio


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
