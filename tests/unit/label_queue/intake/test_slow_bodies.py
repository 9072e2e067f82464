"""Bodies that do not come, or stop coming: whom they keep waiting, and who hears of it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from collections.abc import AsyncIterator, Mapping
from unittest.mock import AsyncMock

import httpx
import pytest
from starlette.types import ASGIApp, Message, Scope

from label_queue.config import IntakeConfig
from label_queue.connectors.webhooks import StandardWebhook
from label_queue.intake import bodies
from label_queue.intake.app import build_app
from label_queue.queue import LabelQueue
from protocol.http_server import Turnstile
from tests.support.fake_people_queue import FakePeopleQueue
from tests.support.page_server import serve

ROUTES = ["/api/v1/labels", "/api/v1/owner/cord/pull", "/hooks/studio"]


class OpenBell:
    """Takes every webhook."""

    async def knock(self, connector: str, headers: object) -> None:
        """Let it in."""

    async def ring(self, connector: str, headers: object, body: bytes) -> bool:
        """Take it."""
        return True


class Connection:
    """One POST whose body begins; what comes then is up to the test."""

    def __init__(self, path: str, token: str) -> None:
        self.sent: list[Message] = []
        self.is_waited_for = asyncio.Event()
        """Once the beginning was taken, and more is asked for."""
        self._coming: asyncio.Queue[Message] = asyncio.Queue()
        self._coming.put_nowait({"type": "http.request", "body": b"{", "more_body": True})
        headers = {"host": "127.0.0.1", "content-type": "application/json"}
        headers["authorization"] = f"Bearer {token}"
        self._scope: Scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }

    def close(self) -> None:
        """Be gone."""
        self._coming.put_nowait({"type": "http.disconnect"})

    def end(self, rest: bytes) -> None:
        """Send the rest of the body."""
        self._coming.put_nowait({"type": "http.request", "body": rest})

    async def go(self, app: ASGIApp) -> None:
        """Send the request, and hear what is answered."""

        async def send(message: Message) -> None:
            self.sent.append(message)

        async def receive() -> Message:
            if self._coming.empty():
                self.is_waited_for.set()
            return await self._coming.get()

        await app(self._scope, receive, send)

    @property
    def status(self) -> int | None:
        """What was answered; None: nothing."""
        return self.sent[0]["status"] if self.sent else None


class Told:
    """Hears what the run is told of."""

    def __init__(self) -> None:
        self.failures: list[str] = []

    async def __call__(self, failure: str) -> None:
        self.failures.append(failure)


@pytest.fixture
async def token(people: FakePeopleQueue) -> str:
    return (await people.owner.admit("olga", "owner")).token


@pytest.mark.parametrize("path", ROUTES)
async def test_who_is_gone_before_all_of_it_is_here_is_told_nothing_and_nobody_is(
    people: FakePeopleQueue, token: str, path: str
) -> None:
    told = Told()
    connection = Connection(path, token)
    connection.close()
    await connection.go(build_app(people, IntakeConfig(), told, OpenBell()))
    assert (connection.sent, told.failures) == ([], [])


@pytest.mark.parametrize("path", ROUTES)
async def test_a_body_that_stops_coming_is_given_up(
    people: FakePeopleQueue, token: str, path: str
) -> None:
    connection, told = Connection(path, token), Told()
    app = build_app(people, IntakeConfig(max_body_s=0.001), told, OpenBell())
    await connection.go(Turnstile(app, most=1))
    assert connection.status == 408
    assert (b"connection", b"close") in connection.sent[0]["headers"]
    assert b"not here within 0.001 s" in connection.sent[1]["body"]
    assert told.failures == []


async def test_one_labeler_has_so_many_bodies_on_their_way_and_no_more(
    people: FakePeopleQueue, token: str
) -> None:
    app = build_app(people, IntakeConfig(max_bodies=2), None, OpenBell())
    slow = [Connection(ROUTES[0], token) for _ in range(2)]
    going = [asyncio.create_task(each.go(app)) for each in slow]
    for each in slow:
        await each.is_waited_for.wait()
    third = Connection(ROUTES[0], token)
    await third.go(app)
    assert third.status == 429
    another = Connection(ROUTES[0], (await people.owner.admit("ann", "labeler")).token)
    another.close()
    await another.go(app)
    assert another.status is None
    for each in slow:
        each.close()
    await asyncio.gather(*going)
    assert app.state.open_bodies == {}


@pytest.mark.parametrize(
    ("act", "status"), [("revoke", 401), ("make a labeler", 403), ("leave as is", 200)]
)
async def test_an_owner_who_is_let_out_while_their_body_comes_lets_nobody_in_by_it(
    queue: LabelQueue, act: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "SOON_S", 0.0)
    await queue.owner.admit("olga", "owner", actor="owner")
    mallory = await queue.owner.admit("mallory", "owner", actor="olga")
    connection = Connection("/api/v1/owner/labelers", mallory.token)
    going = asyncio.create_task(connection.go(build_app(queue, IntakeConfig())))
    await connection.is_waited_for.wait()
    if act == "revoke":
        await queue.owner.revoke("mallory", "no more", actor="olga")
    elif act == "make a labeler":
        await queue.owner.change_role("mallory", "labeler", "no more", actor="olga")
    connection.end(b'"labeler_id": "mallory-2", "role": "owner"}')
    await going
    assert connection.status == status
    named = (await queue.owner.people(offset=0, limit=10, search="mallory-2")).people
    assert bool(named) == (status == 200)


async def ann_labels(queue: LabelQueue) -> tuple[str, bytes]:
    """Hand ann a task; return her token, and the rest of a body that answers it."""
    token = await queue.owner.add_labeler("ann")
    task = await queue.people.next_task("ann", 0.0)
    assert task is not None
    return token, f'"assignment_id": "{task.assignment_id}", "outcome": "tie"}}'.encode()


async def test_who_is_let_out_while_a_label_comes_has_not_given_it(
    queue: LabelQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "SOON_S", 0.0)
    token, rest = await ann_labels(queue)
    connection = Connection("/api/v1/labels", token)
    going = asyncio.create_task(connection.go(build_app(queue, IntakeConfig())))
    await connection.is_waited_for.wait()
    await queue.owner.revoke("ann", "she left", actor="olga")
    connection.end(rest)
    await going
    assert connection.status == 401
    assert queue.state.history.num_submitted == 0


async def test_whose_body_is_there_at_once_is_asked_once_who_they_are(
    queue: LabelQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "SOON_S", 60.0)
    token, rest = await ann_labels(queue)
    authenticate = AsyncMock(side_effect=queue.people.authenticate)
    monkeypatch.setattr(queue.people, "authenticate", authenticate)
    connection = Connection("/api/v1/labels", token)
    connection.end(rest)
    await connection.go(build_app(queue, IntakeConfig()))
    assert connection.status == 200
    authenticate.assert_awaited_once_with(token)


class SigningBell(StandardWebhook):
    """Takes the webhooks of any tool that are signed with one secret."""

    async def knock(self, connector: str, headers: Mapping[str, str]) -> None:
        self.check_headers(headers)

    async def ring(self, connector: str, headers: Mapping[str, str], body: bytes) -> bool:
        return self.check(headers, body)


@pytest.mark.parametrize("path", ["/hooks/studio", "/hooks/other"])
async def test_slow_webhooks_that_only_look_signed_keep_no_signed_one_out(
    people: FakePeopleQueue, path: str
) -> None:
    most, now = 2, 1_767_225_600
    secret = base64.b64encode(b"s" * 24).decode()
    app = build_app(
        people, IntakeConfig(max_hook_bodies=most), None, SigningBell(secret, lambda: float(now))
    )

    def signed(body: bytes, key: bytes) -> dict[str, str]:
        digest = hmac.new(key, b"1.%d." % now + body, hashlib.sha256).digest()
        signature = f"v1,{base64.b64encode(digest).decode()}"
        return {
            "webhook-id": "1",
            "webhook-timestamp": str(now),
            "webhook-signature": signature,
        }

    async with serve(app) as url, httpx.AsyncClient(trust_env=False, base_url=url) as http:
        begun, may_end = asyncio.Semaphore(0), asyncio.Event()

        async def dribbled() -> AsyncIterator[bytes]:
            yield b"{"
            begun.release()
            await may_end.wait()

        junk = [
            asyncio.create_task(
                http.post("/hooks/studio", headers=signed(b"", b"x"), content=dribbled())
            )
            for _ in range(most + 3)
        ]
        for _ in junk:
            await begun.acquire()
        answer = await http.post(path, headers=signed(b"{}", b"s" * 24), content=b"{}")
        assert (answer.status_code, answer.json()) == (200, {"is_news": True})
        may_end.set()
        statuses = [each.status_code for each in await asyncio.gather(*junk)]
        # Those that had to make way, and those whose signature was found to be wrong.
        assert statuses.count(408) >= 3
        assert set(statuses) == {401, 408}
        made_way = next(each.result() for each in junk if each.result().status_code == 408)
        assert "2 newer bodies are on their way" in made_way.json()["message"]
        assert made_way.headers["connection"] == "close"
    assert not any(app.state.unproved_bodies.values())
