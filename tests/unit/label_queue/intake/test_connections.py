"""Real connections on which nothing is asked, or something slowly: how long, and how many."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from label_queue.config import IntakeConfig
from label_queue.intake import connections, server
from label_queue.intake.connections import Doorstep, Watch
from label_queue.intake.server import PAGES_PORT, FaceServer
from protocol.http_server import listen
from tests.support.fake_people_queue import FakePeopleQueue
from tests.support.page_server import serve_people
from tests.support.patience import PATIENCE_S

HOST = "127.0.0.1"
HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"
WHOLE = HEAD + b"\r\n"
KNOWN = HEAD + b"X-Who: ann\r\n\r\n"
SHORT_S = 0.3


class Face:
    """ASGI: answers at once, but where it is told to wait, and then with as much as it is told."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.num_bytes = 2

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.may_answer.wait()
        headers = [(b"content-length", str(self.num_bytes).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"k" * self.num_bytes})


def who_says(scope: Mapping[str, Any]) -> bool:
    return (b"x-who", b"ann") in scope["headers"]


class Client:
    """One connection to the face."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def asks(self, request: bytes = WHOLE) -> bool:
        """Send a request; return whether it was answered."""
        try:
            await self.send(request)
            async with asyncio.timeout(PATIENCE_S):
                answer = await self.reader.readuntil(b"kk")
        except (asyncio.IncompleteReadError, ConnectionError):
            return False
        return answer.startswith(b"HTTP/1.1 200 OK")

    async def is_closed(self) -> bool:
        """Return once the other end closed it; False: it did not, for much longer than the time."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await self.reader.read(1) == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False

    async def dribble(self, line: bytes) -> None:
        """Go on sending until the other end is gone."""
        try:
            while True:
                await self.send(line)
                await asyncio.sleep(SHORT_S / 10)
        except ConnectionError:
            return


Connect = Callable[[], Awaitable[Client]]


@asynccontextmanager
async def served(face: Face, **limits: Any) -> AsyncIterator[Connect]:
    """Yield what opens connections to a face with these limits."""
    listener = listen(HOST, 0, PAGES_PORT)
    told: list[BaseException | None] = []
    face_server = FaceServer(face, listener, IntakeConfig(**limits), who_says)
    face_server.start(told.append)
    opened: list[Client] = []

    async def connect() -> Client:
        opened.append(Client(*await asyncio.open_connection(*listener.getsockname())))
        return opened[-1]

    try:
        yield connect
    finally:
        for client in opened:
            client.writer.transport.abort()
        face.may_answer.set()
        await face_server.stop()
    assert told == []


async def test_who_says_nothing_is_not_waited_for() -> None:
    async with served(Face(), max_head_s=SHORT_S) as connect:
        assert await (await connect()).is_closed()


async def test_a_head_that_is_dribbled_is_not_waited_for() -> None:
    async with served(Face(), max_head_s=SHORT_S) as connect:
        new, used = await connect(), await connect()
        assert await used.asks()
        for client in (new, used):
            await client.send(HEAD)
            async with asyncio.timeout(PATIENCE_S):
                await client.dribble(b"X-A: b\r\n")


async def test_connections_that_were_used_and_long_polls_live_on() -> None:
    face = Face()
    async with served(face, max_head_s=SHORT_S, max_unknown_connections=1) as connect:
        clients = []
        for _ in range(3):
            clients.append(await connect())
            assert await clients[-1].asks(KNOWN)
        await asyncio.sleep(3 * SHORT_S)
        face.may_answer.clear()
        asking = [asyncio.create_task(client.asks(KNOWN)) for client in clients]
        await asyncio.sleep(3 * SHORT_S)
        face.may_answer.set()
        assert all(await asyncio.gather(*asking))


async def test_who_was_identified_keeps_their_connection_whoever_comes(
    people: FakePeopleQueue,
) -> None:
    token = (await people.owner.admit("ann", "labeler")).token
    limits = IntakeConfig(max_unknown_connections=1)
    by_token = {"Authorization": f"Bearer {token}"}

    async def port_of(http: httpx.AsyncClient) -> int:
        """Ask something, and return by which port of ours."""
        answer = await http.get("/api/v1/me", headers=by_token)
        assert answer.status_code == 200
        port: int = answer.extensions["network_stream"].get_extra_info("client_addr")[1]
        return port

    async with serve_people(people, limits) as url:
        async with httpx.AsyncClient(trust_env=False, base_url=url) as http:
            port = await port_of(http)
            host = url.removeprefix("http://").partition(":")
            strangers = [await asyncio.open_connection(host[0], int(host[2])) for _ in range(2)]
            assert await strangers[0][0].read(1) == b""
            assert await port_of(http) == port
        for _, writer in strangers:
            writer.transport.abort()


async def test_a_head_that_comes_in_pieces_and_in_time_is_answered() -> None:
    async with served(Face()) as connect:
        client = await connect()
        for piece in (WHOLE[:7], WHOLE[7:20]):
            await client.send(piece)
            await asyncio.sleep(0.01)
        assert await client.asks(WHOLE[20:])
        await client.send(WHOLE[:20])
        assert await client.asks(WHOLE[20:])
        assert await client.asks(WHOLE + WHOLE)  # both at once
        assert await client.asks(b"")


async def test_a_head_without_end_is_cut_short() -> None:
    async with served(Face()) as connect:
        client = await connect()
        await client.send(HEAD)
        async with asyncio.timeout(PATIENCE_S):
            await client.dribble(b"X-A: " + b"b" * 20_000 + b"\r\n")


@pytest.mark.parametrize("beginning", [b"", HEAD, WHOLE], ids=["silent", "half", "answered"])
async def test_whoever_fills_the_doorstep_keeps_nobody_out(beginning: bytes) -> None:
    async with served(Face(), max_unknown_connections=4) as connect:
        known = await connect()
        assert await known.asks(KNOWN)
        idle = [await connect() for _ in range(12)]
        for client in idle:
            if beginning == WHOLE:
                await client.asks()
            elif beginning:
                with suppress(ConnectionError):  # it had to make way already
                    await client.send(beginning)
        for client in idle[:8]:
            assert await client.is_closed()
        assert await (await connect()).asks()
        assert await known.asks(KNOWN)
        # The newest are still there.
        assert await idle[-1].asks(WHOLE if beginning != HEAD else b"\r\n")


async def test_the_rest_of_a_body_is_not_waited_for_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "KEEP_ALIVE_S", SHORT_S)
    posted = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
    async with served(Face()) as connect:
        client = await connect()
        assert await client.asks(posted + b"a")
        async with asyncio.timeout(PATIENCE_S):
            await client.dribble(b"a")


async def test_nor_is_more_of_it_taken_than_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_REST_BYTES", 1_000)
    posted = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
    async with served(Face()) as connect:
        client = await connect()
        assert await client.asks(posted + b"a")
        async with asyncio.timeout(PATIENCE_S):
            await client.dribble(b"a" * 500)


async def test_an_answer_that_nobody_reads_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "UNREAD_S", SHORT_S)
    face = Face()
    face.num_bytes = 32 * 1024 * 1024
    async with served(face) as connect:
        client = await connect()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.send(KNOWN)
        await asyncio.sleep(4 * SHORT_S)
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        async with asyncio.timeout(PATIENCE_S):
            try:
                read = len(await client.reader.read(-1))
            except ConnectionError:
                read = 0
        assert read < face.num_bytes


class Wire:
    """A transport that only says where it comes from, and whether it was closed."""

    def __init__(self, host: str) -> None:
        self._host = host
        self.is_open = True

    def get_extra_info(self, name: str) -> tuple[str, int]:
        assert name == "peername"
        return self._host, 1

    def is_closing(self) -> bool:
        return not self.is_open

    def abort(self) -> None:
        self.is_open = False


@pytest.mark.parametrize(
    "crowd", [["192.0.2.1"] * 3, ["2001:db8::1", "2001:db8::2", "2001:db8::ffff:3"]]
)
async def test_an_address_with_many_makes_way_and_others_stay(crowd: list[str]) -> None:
    doorstep = Doorstep(most=3)
    wires = [Wire(host) for host in ("198.51.100.7", *crowd)]
    watches = [
        Watch(
            wire,  # type: ignore[arg-type]
            doorstep,
            head_s=1e6,
            idle_s=1e6,
            unread_s=1e6,
            is_identified=who_says,
        )
        for wire in wires
    ]
    assert [wire.is_open for wire in wires] == [True, False, True, True]
    assert len(doorstep) == 3
    for watch in watches:
        watch.lost()
    assert len(doorstep) == 0
