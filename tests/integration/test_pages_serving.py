"""The pages and the owner's stream as they run: through Ray Serve, over the queue's actor."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from label_queue.intake.identity import CSRF_HEADER, SESSION_COOKIE, csrf_token
from label_queue.shell import QUEUE_OPTIONS, LabelQueueShell, RemoteLabelQueue
from protocol.remote import Remote, spawn
from tests.support.labels import make_config
from tests.support.patience import PATIENCE_S

# Ray Serve warns of its own use of pydantic when it is imported, which the fixtures do.
pytestmark = pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`")

CONFIG = make_config()


@pytest.fixture
def queue(ray_session: None, tmp_path: Path) -> Iterator[Remote[LabelQueueShell]]:
    import ray

    path = tmp_path / "ledger.sqlite"
    queue = spawn(LabelQueueShell, "the label queue", QUEUE_OPTIONS)(
        CONFIG, run_id="run-1", ledger=path, episodes=100, mode="online", seed=1
    )
    yield queue
    ray.get(queue.send(LabelQueueShell.close))
    ray.kill(queue.handle)


@pytest.fixture
def address(queue: Remote[LabelQueueShell]) -> Iterator[str]:
    from ray import serve

    from label_queue.intake.shell import build_intake_app

    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(build_intake_app(queue, CONFIG), name="labels", route_prefix="/")
    yield f"http://127.0.0.1:{port}"
    serve.shutdown()


async def events(lines: AsyncIterator[str]) -> AsyncIterator[dict[str, Any]]:
    """Yield the overviews of a stream."""
    async for line in lines:
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


async def test_the_owner_comes_in_and_sees_a_pull_of_the_cord_as_it_happens(
    queue: Remote[LabelQueueShell], address: str
) -> None:
    host = RemoteLabelQueue(queue).owner
    olga = await host.admit("olga", "owner")
    ann = await host.admit("ann", "labeler")
    async with (
        httpx.AsyncClient(base_url=address, timeout=PATIENCE_S, trust_env=False) as owner,
        httpx.AsyncClient(base_url=address, timeout=PATIENCE_S, trust_env=False) as labeler,
    ):
        for client, admission, page in ((owner, olga, "/owner"), (labeler, ann, "/")):
            entered = await client.post(admission.link, headers={"Origin": address})
            assert (entered.status_code, entered.headers["location"]) == (303, page)
            shown = await client.get(page)
            assert shown.status_code == 200
            assert "script-src 'self' 'nonce-" in shown.headers["content-security-policy"]
        script = await labeler.get("/static/label/main.js")
        assert script.headers["content-type"].startswith("text/javascript")

        async with owner.stream("GET", "/api/v1/owner/stream") as stream:
            overviews = events(stream.aiter_lines())
            assert not (await anext(overviews))["cord"]["is_pulled"]
            csrf = csrf_token(labeler.cookies[SESSION_COOKIE])
            pulled = await labeler.post(
                "/api/v1/cord",
                json={"reason": "it repeats itself"},
                headers={"Origin": address, CSRF_HEADER: csrf},
            )
            assert pulled.status_code == 200
            async for overview in overviews:
                if overview["cord"]["is_pulled"]:
                    break
            assert overview["cord"]["reason"] == "it repeats itself"
            assert overview["cord"]["pulled_by"] == "ann"
