"""The pages and the owner's stream as they run: through Ray Serve, over the queue's actor."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from label_queue.intake.identity import CSRF_HEADER, csrf_token
from label_queue.intake.public_address import Site
from label_queue.shell import QUEUE_OPTIONS, LabelQueueShell, RemoteLabelQueue
from protocol.errors import ScoringFailed
from protocol.messages import Score
from protocol.remote import Remote, spawn
from reward_service.http import build_http_app
from tests.support.labels import make_config
from tests.support.patience import PATIENCE_S

# Ray Serve warns of its own use of pydantic when it is imported, which the fixtures do.
pytestmark = pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`")

SESSION_COOKIE = Site().session_cookie
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
def site() -> Site:
    """Where the run is found: on loopback alone."""
    return Site()


@pytest.fixture
def address(queue: Remote[LabelQueueShell], site: Site) -> Iterator[str]:
    from ray import serve

    from label_queue.intake.shell import build_intake_app

    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(build_intake_app(queue, CONFIG, site), name="labels", route_prefix="/")
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


class TestPublished:
    """Serve before both faces of a run that has a public address, as a proxy passes requests on."""

    @pytest.fixture
    def site(self) -> Site:
        return Site(run_id="run-1", public_url="https://label.example.org/run-a")

    @pytest.fixture
    def reward(self, address: str) -> str:
        """Address of the reward's real face, whose scores are none."""
        from ray import serve

        def face() -> FastAPI:
            return build_http_app(
                score=no_scores,
                tokenize=lambda text: [],
                live=lambda: None,
                token_digest=hashlib.sha256(b"secret").hexdigest(),
            )

        deployment = serve.deployment(name="reward_face", ray_actor_options={"num_cpus": 0})
        serve.run(deployment(serve.ingress(face)()).bind(), name="reward", route_prefix="/reward")
        return f"{address}/reward"

    async def test_each_face_is_there_for_whom_it_is_meant(
        self, queue: Remote[LabelQueueShell], address: str, reward: str, site: Site
    ) -> None:
        olga = await RemoteLabelQueue(queue).owner.admit("olga", "owner")
        through = {
            "Host": "label.example.org",
            "X-Forwarded-For": "203.0.113.9",
            "X-Forwarded-Proto": "https",
        }
        without_host = {
            "X-Forwarded-For": "203.0.113.9",
            "X-Forwarded-Host": "label.example.org",
            "X-Forwarded-Proto": "https",
        }
        async with httpx.AsyncClient(base_url=address, timeout=PATIENCE_S, trust_env=False) as http:
            link = f"/run-a{olga.link}"
            for headers in (through, without_host):
                assert (await http.get(link, headers=headers)).status_code == 200
            entered = await http.post(
                link, headers={**through, "Origin": "https://label.example.org"}
            )
            assert (entered.status_code, entered.headers["location"]) == (303, "/run-a/owner")
            cookie = entered.headers["set-cookie"]
            assert cookie.startswith(f"{site.session_cookie}=")
            assert "; Secure" in cookie
            session = {"Cookie": cookie.partition(";")[0]}
            shown = await http.get("/run-a/owner", headers={**through, **session})
            assert (shown.status_code, '"/run-a/static/' in shown.text) == (200, True)
            async with http.stream(
                "GET", "/run-a/api/v1/owner/stream", headers={**through, **session}
            ) as stream:
                assert not (await anext(events(stream.aiter_lines())))["cord"]["is_pulled"]

            secret = {"Authorization": "Bearer secret"}
            for path in ("/run-a/docs", "/run-a/reward/health", "/reward/health", "/reward/docs"):
                assert (await http.get(path, headers={**through, **secret})).status_code == 404
            in_the_clear = {**through, "X-Forwarded-Proto": "http"}
            assert (await http.get(link, headers=in_the_clear)).status_code == 421
            assert (await http.get("/", headers={"X-Forwarded-For": "::1"})).status_code == 421
            assert (await http.get("/", headers={"Host": "evil.example"})).status_code == 421

            assert (await http.get("/docs")).status_code == 200
            assert (await http.get(f"{reward}/health")).status_code == 401
            assert (await http.get(f"{reward}/health", headers=secret)).status_code == 503


async def no_scores(sequences: list[tuple[int, ...]]) -> list[Score]:
    raise ScoringFailed("no reward version is served yet")
