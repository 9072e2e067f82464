"""The labelling face where others reach it: real sockets, TLS by itself, on a second loopback.

127.0.0.2 stands for an address of the network: nothing here listens at a real one.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from label_queue.config import IntakeConfig
from label_queue.intake.app import build_app
from label_queue.intake.identity import CSRF_HEADER, csrf_token
from label_queue.intake.public_address import NOT_PUBLISHED, Site
from label_queue.intake.server import PAGES_PORT, FaceServer
from label_queue.intake.wide_face import Certificate, WideDoor, WideFace
from label_queue.ledger.sql import SqlLedger
from label_queue.queue import LabelQueue
from label_queue.schedule import LabelSchedule
from protocol.http_server import listen
from tests.support.labels import make_config
from tests.support.patience import PATIENCE_S
from tests.support.proxies import NAME, Place

OUTSIDE = "127.0.0.2"
OPEN_TO_ALL = {"/static/{name:path}", "/enter/{code}", "/", "/owner"}
"""What is there without a token: files of the pages, and where people come in."""


@dataclass(frozen=True, kw_only=True)
class Face:
    """A run whose labelling face is open to others."""

    app: FastAPI
    queue: LabelQueue
    site: Site
    place: Place
    own_url: str
    """Where the run's own programs come."""


@pytest.fixture
async def face(tmp_path: Path) -> AsyncIterator[Face]:
    place = Place.free(tmp_path, "")
    certificate = Certificate(chain=place.certificate, key=place.key)
    certificate.check()
    wide = WideFace(host=OUTSIDE, port=place.tls_port, certificate=certificate)
    site, config = Site(run_id="run-1", public_url=place.public_url), make_config()
    queue = LabelQueue(
        SqlLedger.open(tmp_path / "ledger.sqlite", "run-1"),
        config,
        LabelSchedule.of(config, num_episodes=100, mode="online"),
        run_id="run-1",
        seed=1,
        clock=time.time,
    )
    app = build_app(queue, IntakeConfig(), site=site)
    own = listen("127.0.0.1", 0, PAGES_PORT)
    servers = [
        FaceServer(app, own),
        FaceServer(WideDoor(app), listen(wide.host, wide.port, PAGES_PORT), tls=wide.tls),
    ]
    for server in servers:
        server.start(_not_told_to)
    own_url = f"http://127.0.0.1:{own.getsockname()[1]}"
    yield Face(app=app, queue=queue, site=site, place=place, own_url=own_url)
    for server in servers:
        await server.stop()
    await queue.close()


def _not_told_to(error: BaseException | None) -> None:
    raise AssertionError("the server ended by itself") from error


async def test_people_come_in_by_tls_with_a_secure_cookie_and_from_our_pages_alone(
    face: Face,
) -> None:
    async with face.place.client(OUTSIDE) as ann:
        link = (await face.queue.owner.admit("ann", "labeler")).link
        entered = await ann.post(link, headers={"Origin": face.place.origin})
        assert entered.status_code == 303
        cookie = {part.strip() for part in entered.headers["set-cookie"].lower().split(";")}
        assert {"secure", "httponly", "samesite=lax"} <= cookie
        page = await ann.get("/")
        assert (page.status_code, 'id="task"' in page.text) == (200, True)
        csrf = {CSRF_HEADER: csrf_token(ann.cookies[face.site.session_cookie])}
        for origin in ("https://evil.example", f"https://{NAME}", "null"):
            forged = await ann.post("/leave", headers={**csrf, "Origin": origin})
            assert forged.status_code == 403
        left = await ann.post("/leave", headers={**csrf, "Origin": face.place.origin})
        assert left.status_code == 204


async def test_every_route_asks_for_a_token(face: Face) -> None:
    routes = [each for each in face.app.routes if isinstance(each, APIRoute)]
    asked = {each.path for each in routes} - OPEN_TO_ALL
    assert {"/api/v1/tasks/next", "/api/v1/labels", "/api/v1/owner/overview"} <= asked
    async with face.place.client(OUTSIDE) as anybody:
        for route in routes:
            if route.path in OPEN_TO_ALL:
                continue
            for method in route.methods - {"HEAD", "OPTIONS"}:
                path = route.path.replace("{", "").replace("}", "")
                answer = await anybody.request(method, path, json={})
                # The run reads no tool, and what is not published is not there.
                is_there = not route.path.startswith(("/hooks/", *NOT_PUBLISHED))
                wanted = 401 if is_there else 404
                assert answer.status_code == wanted, (method, path, answer.text)
        for page in ("/", "/owner"):
            assert (await anybody.get(page)).status_code == 401


async def test_nobody_out_there_is_this_machine(face: Face) -> None:
    token = await face.queue.owner.add_labeler("olga", "owner")
    owner = {"Authorization": f"Bearer {token}"}
    async with face.place.client(OUTSIDE) as there:
        assert (await there.get("/api/v1/owner/overview", headers=owner)).status_code == 200
        for path in ("/docs", "/docs/", "/openapi.json", "/reward/health", "/-/routes"):
            assert (await there.get(path, headers=owner)).status_code == 404, path
        for host in ("127.0.0.1:8000", "localhost", "evil.example", OUTSIDE):
            for path in ("/docs", "/openapi.json", "/api/v1/run"):
                answer = await there.get(path, headers={**owner, "Host": host})
                assert answer.status_code == 421, (host, path)
    async with httpx.AsyncClient(base_url=face.own_url, trust_env=False) as here:
        assert (await here.get("/docs")).status_code == 200
        assert (await here.get("/api/v1/owner/overview", headers=owner)).status_code == 200


async def test_plain_http_is_not_spoken_there(face: Face) -> None:
    plain = f"http://{OUTSIDE}:{face.place.tls_port}/"
    async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S) as client:
        with pytest.raises(httpx.TransportError):
            await client.get(plain, headers={"Host": f"{NAME}:{face.place.tls_port}"})
