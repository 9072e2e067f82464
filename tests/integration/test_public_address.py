"""The real intake behind the real nginx and the real Caddy, with TLS and the shipped configs."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from label_queue.config import IntakeConfig
from label_queue.intake.identity import CSRF_HEADER, csrf_token
from label_queue.intake.public_address import Site
from label_queue.ledger.records import Role
from label_queue.ledger.sql import SqlLedger
from label_queue.queue import LabelQueue
from label_queue.schedule import LabelSchedule
from tests.support.labels import make_config
from tests.support.page_server import serve_people
from tests.support.patience import PATIENCE_S
from tests.support.proxies import COMMANDS, NAME, Place, found, proxy
from tests.unit.label_queue.labeling import answer_orders

LIMITS = IntakeConfig(max_streams=1)
NOT_PUBLISHED = (
    *("/reward", "/reward/", "/reward/get_reward", "/reward/docs", "/reward/openapi.json"),
    *("/docs", "/docs/", "/openapi.json", "/-/routes", "/-/healthz"),
)


@dataclass(frozen=True, kw_only=True)
class Published:
    """A run that is published: where, and its queue."""

    place: Place
    site: Site
    queue: LabelQueue
    run_url: str
    """Where the proxy finds it."""
    proxy: str
    """Which it is."""

    async def enter(self, client: httpx.AsyncClient, name: str, role: Role) -> httpx.Response:
        """Open a one-time link as a browser does."""
        link = self.place.prefix + (await self.queue.owner.admit(name, role)).link
        shown = await client.get(link)
        assert (shown.status_code, "Come in" in shown.text) == (200, True)
        return await client.post(link, headers={"Origin": self.place.origin})

    def unsafe(self, client: httpx.AsyncClient) -> dict[str, str]:
        """Headers that a page of ours sends with what is not only read."""
        csrf = csrf_token(client.cookies[self.site.session_cookie])
        return {"Origin": self.place.origin, CSRF_HEADER: csrf}


@pytest.fixture(params=["/run-a", ""], ids=["below a path", "at the root"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place.free(tmp_path, request.param)


@pytest.fixture(params=sorted(COMMANDS))
async def published(
    request: pytest.FixtureRequest, place: Place, tmp_path: Path
) -> AsyncIterator[Published]:
    found(request.param)
    site = Site(run_id="run-1", public_url=place.public_url)
    config = make_config(intake=LIMITS)
    queue = LabelQueue(
        SqlLedger.open(tmp_path / "ledger.sqlite", "run-1"),
        config,
        LabelSchedule.of(config, num_episodes=100, mode="online"),
        run_id="run-1",
        seed=1,
        clock=time.time,
    )
    await answer_orders(queue)
    async with serve_people(queue, LIMITS, site) as run_url:
        port = httpx.URL(run_url).port
        assert port is not None
        async with proxy(request.param, place, port):
            yield Published(
                place=place, site=site, queue=queue, run_url=run_url, proxy=request.param
            )
    await queue.close()


async def overviews(lines: AsyncIterator[str]) -> AsyncIterator[dict[str, Any]]:
    """Yield what a stream of the owner's says."""
    async for line in lines:
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


async def test_people_come_in_label_and_are_seen_to_as_it_happens(published: Published) -> None:
    prefix = published.place.prefix
    async with published.place.client() as olga, published.place.client() as ann:
        entered = await published.enter(olga, "olga", "owner")
        assert (entered.status_code, entered.headers["location"]) == (303, f"{prefix}/owner")
        entered = await published.enter(ann, "ann", "labeler")
        assert (entered.status_code, entered.headers["location"]) == (303, f"{prefix}/")
        cookie = entered.headers["set-cookie"].lower()
        assert cookie.startswith("andon_session_run-1=")
        assert {"secure", "httponly", "samesite=lax"} <= {p.strip() for p in cookie.split(";")}
        page = await ann.get(f"{prefix}/")
        assert (page.status_code, 'id="task"' in page.text) == (200, True)
        assert page.headers["strict-transport-security"].startswith("max-age=")
        script = await ann.get(f"{prefix}/static/label/main.js")
        assert script.headers["content-type"].startswith("text/javascript")

        async with olga.stream("GET", f"{prefix}/api/v1/owner/stream") as stream:
            seen = overviews(stream.aiter_lines())
            first = await anext(seen)
            task = (await ann.get(f"{prefix}/api/v1/tasks/next?wait_s=5")).json()
            answer = await ann.post(
                f"{prefix}/api/v1/labels",
                json={
                    "assignment_id": task["assignment_id"],
                    "outcome": "choice",
                    "choice": task["candidates"][0]["candidate_id"],
                },
                headers=published.unsafe(ann),
            )
            assert answer.status_code == 200
            # The stream is still open: what comes now was not held back until its end.
            async for overview in seen:
                if overview["progress"]["labels_received"] > first["progress"]["labels_received"]:
                    break
        left = await ann.post(f"{prefix}/leave", headers=published.unsafe(ann))
        assert (left.status_code, dict(ann.cookies)) == (204, {})
        assert (await ann.get(f"{prefix}/")).status_code == 401


async def test_what_is_not_published_is_not_there_and_is_at_loopback(published: Published) -> None:
    token = await published.queue.owner.add_labeler("olga", "owner")
    owner = {"Authorization": f"Bearer {token}"}
    async with published.place.client() as client:
        for path in NOT_PUBLISHED:
            for prefix in {published.place.prefix, ""}:
                answer = await client.get(prefix + path, headers=owner)
                assert answer.status_code == 404, prefix + path
        scored = await client.post("/reward/get_reward", json={"query": ["x"]}, headers=owner)
        assert scored.status_code == 404
        known = await client.get(f"{published.place.prefix}/api/v1/run", headers=owner)
        assert known.status_code == 200
    async with httpx.AsyncClient(base_url=published.run_url, trust_env=False) as here:
        assert (await here.get("/docs")).status_code == 200


async def test_another_site_changes_nothing(published: Published) -> None:
    prefix = published.place.prefix
    async with published.place.client() as ann:
        await published.enter(ann, "ann", "labeler")
        for forged in (
            {"Origin": "https://evil.example"},
            {"Origin": f"https://{NAME}"},  # another port is another origin
            {"Origin": "null"},
        ):
            headers = {**published.unsafe(ann), **forged}
            for path in ("/api/v1/cord", "/leave"):
                answer = await ann.post(prefix + path, json={"reason": "forged"}, headers=headers)
                assert answer.status_code == 403
        assert not (await published.queue.people.me("ann")).cord.is_pulled
        assert (await ann.get(f"{prefix}/")).status_code == 200


async def test_nobody_names_another_host_or_way(published: Published) -> None:
    """What a client says of its way is not passed on, or takes nothing but its own request."""
    path = f"{published.place.prefix}/enter/x"
    async with published.place.client() as client:
        for headers in (
            {"X-Forwarded-Host": "127.0.0.1:8000", "X-Forwarded-For": "127.0.0.1"},
            {"X-Forwarded-Proto": "http", "Forwarded": "host=127.0.0.1", "X-Real-IP": "::1"},
        ):
            assert (await client.get(path, headers=headers)).status_code == 200
            docs = f"{published.place.prefix}/docs"
            assert (await client.get(docs, headers=headers)).status_code == 404
        wrong = await client.get(path, headers={"Host": "evil.example"})
        assert "Come in" not in wrong.text
        loopback = await client.get("/docs", headers={"Host": "127.0.0.1:8000"})
        assert "openapi" not in loopback.text


async def test_plain_http_is_sent_to_tls(published: Published) -> None:
    async with published.place.client() as client:
        plain = f"http://{NAME}:{published.place.plain_port}{published.place.prefix}/enter/x"
        answer = await client.get(plain)
    assert answer.status_code == 308
    assert answer.headers["location"].startswith(f"https://{NAME}")
    assert answer.headers["location"].endswith(f"{published.place.prefix}/enter/x")


async def test_bodies_are_limited_before_the_run_reads_them(published: Published) -> None:
    token = await published.queue.owner.add_labeler("ann")
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-ndjson"}
    path = f"{published.place.prefix}/api/v1/labels"
    async with published.place.client() as client:
        answer = await client.post(path, content=b"x" * 6_000_000, headers=headers)
    # Caddy 2.6 finds out while it passes the body on.
    assert answer.status_code in ({413} if published.proxy == "nginx" else {413, 502})


async def test_a_stream_that_its_page_left_is_open_no_more(published: Published) -> None:
    path = f"{published.place.prefix}/api/v1/owner/stream"
    token = await published.queue.owner.add_labeler("olga", "owner")
    async with published.place.client() as olga:
        olga.headers["Authorization"] = f"Bearer {token}"
        for _ in range(LIMITS.max_streams + 1):
            async with asyncio.timeout(PATIENCE_S):
                while not await _sees_an_overview(olga, path):
                    pass


async def _sees_an_overview(client: httpx.AsyncClient, path: str) -> bool:
    """Open a stream and leave it at its first event; return whether there was room for it."""
    async with client.stream("GET", path) as stream:
        if stream.status_code == 429:
            return False
        assert stream.status_code == 200
        await anext(overviews(stream.aiter_lines()))
        return True
