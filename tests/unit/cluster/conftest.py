"""A live run as the command line meets it, without a network; a controller among fakes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from starlette.testclient import TestClient

from cluster.commands.owner_client import OwnerClient
from cluster.config_file import parse_config, save_config
from cluster.run_folder import OWNER, RunFolder
from label_queue.config import IntakeConfig
from label_queue.intake.app import build_app
from tests.support.controller_world import World
from tests.support.fake_people_queue import FakePeopleQueue
from tests.support.one_thread import do_threads_work_at_once
from tests.support.parts import FakeActor

URL = "http://127.0.0.1:8000"


@pytest.fixture
def running(tmp_path: Path) -> RunFolder:
    """The folder of a run whose process is this one."""
    made = RunFolder.create(tmp_path / "demo-1")
    made.update_state(
        state="running",
        mode="online",
        seed=1,
        pid=os.getpid(),
        pid_started_at=psutil.Process().create_time(),
        host=os.uname().nodename,
    )
    return made


class LiveRun:
    """A run folder whose run "goes on" in this process, and the queue behind its HTTP face."""

    def __init__(self, path: Path) -> None:
        self.folder = RunFolder.create(path)
        self.queue = FakePeopleQueue()
        self.client = TestClient(build_app(self.queue, IntakeConfig()), URL)
        me = psutil.Process()
        self.folder.update_state(
            run_id=path.name,
            state="running",
            mode="online",
            seed=1,
            pid=me.pid,
            pid_started_at=me.create_time(),
            host=os.uname().nodename,
            started_at=1_000.0,
            url=URL,
        )
        content = {"people": ["ann"], "policy": {"path": "model"}, "prompts": {}, "labels": {}}
        save_config(
            parse_config({**content, "run": {"episodes": 5120}}, "test"), self.folder.config
        )
        owner = asyncio.run(self.queue.owner.admit(OWNER, "owner"))
        self.folder.write_token(OWNER, owner.token)

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Carry a request to the application."""
        answer = self.client.request(
            request.method, str(request.url), content=request.read(), headers=dict(request.headers)
        )
        return httpx.Response(answer.status_code, content=answer.content)

    def end(self) -> None:
        self.folder.update_state(state="finished")


@pytest.fixture
def live_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveRun]:
    """The only run under runs/, which is the working folder's."""
    monkeypatch.chdir(tmp_path)
    run = LiveRun(Path("runs/demo-1"))
    made = OwnerClient.__init__

    def without_network(
        self: OwnerClient, url: str, token: str, *, pages_url: str | None = None
    ) -> None:
        made(self, url, token, transport=httpx.MockTransport(run.answer), pages_url=pages_url)

    monkeypatch.setattr(OwnerClient, "__init__", without_network)
    with run.client:
        yield run


MakeWorld = Callable[..., World]


@pytest.fixture
async def make_world(tmp_path: Path) -> AsyncIterator[MakeWorld]:
    """Worlds whose loops run in one order, however busy the machine is; closed at the end."""
    do_threads_work_at_once()
    made: list[World] = []

    def make(*actors: FakeActor, **changes: Any) -> World:
        made.append(World(tmp_path, actors=actors, **changes))
        return made[-1]

    yield make
    for world in made:
        await world.close()


@pytest.fixture
async def world(make_world: MakeWorld) -> World:
    return make_world()
