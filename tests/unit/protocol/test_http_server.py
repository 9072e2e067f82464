"""An HTTP server of our own: its port, its turns, its end."""

from __future__ import annotations

import asyncio
import socket
import threading

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from protocol.errors import ResourceError
from protocol.http_server import HttpServer, Turnstile, listen

HOST = "127.0.0.1"
KEY = "cluster.http_port"


class Echo:
    """ASGI: answers with who sent the request; `wait` holds answers back."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.asked = asyncio.Semaphore(0)
        self.at_once = 0
        self.most_at_once = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.release()
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.may_answer.wait()
        self.at_once -= 1
        body = f"{scope['scheme']} {scope['client'][0]}".encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})


def unexpected(error: BaseException | None) -> None:
    raise AssertionError("the server ended by itself") from error


async def test_what_a_request_says_of_its_way_is_not_written_over_who_connects() -> None:
    listener = listen(HOST, 0, KEY)
    server = HttpServer(Echo(), listener)
    server.start(unexpected)
    url = f"http://{HOST}:{listener.getsockname()[1]}"
    headers = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(url, headers=headers)
    assert answer.text == f"http {HOST}"
    assert "server" not in answer.headers
    await server.stop()
    await server.stop()


async def test_answers_under_way_are_finished_and_the_port_is_free_again() -> None:
    echo = Echo()
    echo.may_answer.clear()
    listener = listen(HOST, 0, KEY)
    port = listener.getsockname()[1]
    server = HttpServer(echo, listener)
    server.start(unexpected)
    async with httpx.AsyncClient(trust_env=False) as http:
        asking = asyncio.create_task(http.get(f"http://{HOST}:{port}"))
        await echo.asked.acquire()
        stopping = asyncio.create_task(server.stop())
        await asyncio.sleep(0)
        echo.may_answer.set()
        assert (await asking).status_code == 200
    await stopping
    listen(HOST, port, KEY, 0.0).close()


async def test_one_that_ends_by_itself_says_so() -> None:
    told: list[BaseException | None] = []
    listener = listen(HOST, 0, KEY)
    server = HttpServer(Echo(), listener)
    server.start(told.append)
    assert server._serving is not None
    server._serving.cancel()
    await asyncio.wait({server._serving})
    await asyncio.sleep(0)
    assert told == [None]
    listener.close()


async def test_no_more_requests_are_answered_at_once_than_may_be() -> None:
    echo = Echo()
    echo.may_answer.clear()
    turnstile = Turnstile(echo, most=2)
    transport = httpx.ASGITransport(turnstile)
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}") as http:
        asking = [asyncio.create_task(http.get("/")) for _ in range(5)]
        for _ in range(2):
            await echo.asked.acquire()
        for _ in range(20):
            await asyncio.sleep(0)
        assert echo.at_once == 2
        echo.may_answer.set()
        assert [answer.status_code for answer in await asyncio.gather(*asking)] == [200] * 5
    assert echo.most_at_once == 2


def test_a_port_that_comes_free_is_waited_for() -> None:
    holder = socket.create_server((HOST, 0))
    port = holder.getsockname()[1]
    with pytest.raises(ResourceError, match=rf"port {port} on {HOST} cannot be bound .*http_port"):
        listen(HOST, port, KEY, 0.0)
    freeing = threading.Timer(0.2, holder.close)
    freeing.start()
    listener = listen(HOST, port, KEY)
    assert listener.getsockname()[1] == port
    freeing.join()
    listener.close()


def test_a_host_that_is_none_of_ours_is_refused_at_once() -> None:
    with pytest.raises(ResourceError, match="cannot be bound"):
        listen("192.0.2.77", 8000, KEY)
