"""A front, in the test or as a process, and folders of runs as it reads them."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx
import psutil
from starlette.types import ASGIApp

from cluster.front.app import Front
from cluster.front.forwarding import Forwarder
from cluster.front.places import Places
from cluster.run_folder import RunFolder
from label_queue.intake.server import PAGES_PORT, FaceServer
from protocol.http_server import listen
from tests.support.patience import PATIENCE_S
from tests.support.run_process import andon


def make_run(root: Path, name: str, **state: object) -> RunFolder:
    """Write the folder of a run that goes on in this process, unless `state` says otherwise."""
    folder = RunFolder.create(root / name)
    folder.update_state(
        **{
            "run_id": name,
            "state": "running",
            "mode": "online",
            "seed": 1,
            "pid": os.getpid(),
            "pid_started_at": psutil.Process().create_time(),
            "host": os.uname().nodename,
            "started_at": 1_000.0,
            **state,
        }
    )
    return folder


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[str]:
    """Yield where an application answers."""
    listener = listen("127.0.0.1", 0, PAGES_PORT)
    server = FaceServer(app, listener)
    ends: list[BaseException | None] = []
    server.start(ends.append)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        await server.stop()
    assert not ends


@asynccontextmanager
async def fronted(
    *roots: Path, body_s: float = PATIENCE_S, is_wide: bool = False, lists_to_all: bool = False
) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of a front before the runs in some folders, which looks at each request."""
    now = iter(range(1_000_000))
    forwarder = Forwarder(body_s=body_s, believes=not is_wide, most_of_one=2)
    places = Places(roots, clock=lambda: float(next(now)))
    app = Front(places, forwarder, is_wide=is_wide, lists_to_all=lists_to_all)
    async with (
        served(app) as url,
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=PATIENCE_S) as client,
    ):
        yield client
    await forwarder.close()


class FrontProcess:
    """`andon front`, and where it listens."""

    def __init__(self, *options: str) -> None:
        self.process = psutil.Popen(andon("front", *options), stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        heard = re.fullmatch(r"runs are listed at (https?://.*:\d+)/\n", line)
        assert heard, line
        self.url = heard[1]

    def end(self) -> int:
        """End it as a service is ended; return its exit status. May be called twice."""
        if self.process.poll() is None:
            self.process.terminate()
        status: int = self.process.wait(PATIENCE_S)
        self.process.stdout.close()
        return status


@contextmanager
def front_process(*options: str) -> Iterator[FrontProcess]:
    front = FrontProcess(*options)
    try:
        yield front
    finally:
        front.end()
