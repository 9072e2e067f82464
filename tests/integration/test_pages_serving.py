"""The pages and the owner's stream as they run: the HTTP face's process over the queue's."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from label_queue.intake.identity import CSRF_HEADER, csrf_token
from label_queue.intake.public_address import Site
from label_queue.shell import QUEUE_OPTIONS, LabelQueueShell, RemoteLabelQueue
from protocol.remote import Remote, spawn
from tests.support.labels import make_config
from tests.support.patience import PATIENCE_S
from tests.support.served_intake import served_intake

SESSION_COOKIE = Site().session_cookie
CONFIG = make_config()


@pytest.fixture
def queue_name() -> str:
    return uuid4().hex


@pytest.fixture
def queue(ray_session: None, tmp_path: Path, queue_name: str) -> Iterator[Remote[LabelQueueShell]]:
    import ray

    path = tmp_path / "ledger.sqlite"
    options = {**QUEUE_OPTIONS, "name": queue_name}
    queue = spawn(LabelQueueShell, "the label queue", options)(
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
def address(queue: Remote[LabelQueueShell], queue_name: str, site: Site) -> Iterator[str]:
    with served_intake(queue_name, CONFIG.intake, site) as intake:
        yield intake.url


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
    """The face of a run that has a public address, as a proxy passes requests on."""

    @pytest.fixture
    def site(self) -> Site:
        return Site(run_id="run-1", public_url="https://label.example.org/run-a")

    async def test_it_is_there_for_whom_it_is_meant(
        self, queue: Remote[LabelQueueShell], address: str, site: Site
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

            for path in ("/run-a/docs", "/run-a/reward/health", "/reward/health", "/-/routes"):
                assert (await http.get(path, headers=through)).status_code == 404
            in_the_clear = {**through, "X-Forwarded-Proto": "http"}
            assert (await http.get(link, headers=in_the_clear)).status_code == 421
            assert (await http.get("/", headers={"X-Forwarded-For": "::1"})).status_code == 421
            assert (await http.get("/", headers={"Host": "evil.example"})).status_code == 421

            assert (await http.get("/docs")).status_code == 200
