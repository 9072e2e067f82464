"""What a run is given of a request, and who sent it of the answer: real sockets, no run."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from cluster.front import forwarding
from tests.support.fronted import fronted, make_run, served
from tests.support.patience import PATIENCE_S

AT = "https://label.example.org"
Answering = Callable[[Request], Awaitable[Response]]


def face(answer: Answering) -> ASGIApp:
    """Return an application that answers every request alike."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await (await answer(Request(scope, receive)))(scope, receive, send)

    return app


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def before(
    stack: AsyncExitStack, root: Path, answer: Answering, **options: Any
) -> httpx.AsyncClient:
    """Return a client of a front before one run, run-a, that answers so."""
    url = await stack.enter_async_context(served(face(answer)))
    make_run(root, "run-a", url=url, pages_url=f"{AT}/run-a")
    return await stack.enter_async_context(fronted(root, **options))


async def echo(request: Request) -> Response:
    """Say what came."""
    body = await request.body()
    lines = [request.method.encode(), request.scope["raw_path"], request.scope["query_string"]]
    headers = [name + b": " + value for name, value in request.scope["headers"]]
    return Response(b"\n".join((*lines, body, *headers)), media_type="text/plain")


def said(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return answer.text.split("\n")


async def test_a_request_goes_on_as_it_came(stack: AsyncExitStack, tmp_path: Path) -> None:
    client = await before(stack, tmp_path, echo)
    sent = {
        "Host": "label.example.org",
        "Authorization": "Bearer secret",
        "Cookie": "andon_session_run-a=1; other=2",
        "Accept-Encoding": "gzip",
    }
    lines = said(await client.post("/run-a/api/a%2Fb?x=%20&y=a/b", content=b"body", headers=sent))
    assert lines[:4] == ["POST", "/run-a/api/a%2Fb", "x=%20&y=a/b", "body"]
    headers = lines[4:]
    assert {f"{name.lower()}: {value}" for name, value in sent.items()} <= set(headers)
    assert "content-length: 4" in headers


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_has_one_length_however_it_is_sent(
    stack: AsyncExitStack, tmp_path: Path, chunked: bool
) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"bo"
        yield b"dy"

    client = await before(stack, tmp_path, echo)
    lines = said(await client.post("/run-a/", content=parts() if chunked else b"body"))
    assert lines[3] == "body"
    length = [line for line in lines if line.startswith(("content-length", "transfer-encoding"))]
    assert length == ["transfer-encoding: chunked" if chunked else "content-length: 4"]


async def test_headers_of_a_connection_are_of_that_one_alone(
    stack: AsyncExitStack, tmp_path: Path
) -> None:
    client = await before(stack, tmp_path, echo)
    headers = {"Connection": "keep-alive, X-Mine, X-Forwarded-For, Host", "X-Mine": "1"}
    lines = said(await client.get("/run-a/", headers={**headers, "TE": "trailers"}))
    names = {line.partition(":")[0] for line in lines[4:]}
    assert names & {"te", "x-mine", "keep-alive"} == set()
    assert {"host", "x-forwarded-for"} <= names


@pytest.mark.parametrize(
    ("is_wide", "sent", "wanted"),
    [
        (False, {}, {"x-forwarded-for: 127.0.0.1"}),
        (
            False,
            {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"},
            {"x-forwarded-for: 192.0.2.7", "x-forwarded-proto: https"},
        ),
        (
            True,
            {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Host": "h", "Forwarded": "host=h"},
            {"x-forwarded-for: 127.0.0.1", "x-forwarded-proto: http"},
        ),
    ],
)
async def test_every_request_is_said_to_be_forwarded_and_only_a_proxy_here_is_believed(
    stack: AsyncExitStack,
    tmp_path: Path,
    is_wide: bool,
    sent: dict[str, str],
    wanted: set[str],
) -> None:
    client = await before(stack, tmp_path, echo, is_wide=is_wide)
    lines = said(await client.get("/run-a/", headers=sent))
    assert {line for line in lines if "forwarded" in line} == wanted


async def test_an_answer_comes_back_whole(stack: AsyncExitStack, tmp_path: Path) -> None:
    async def answer(request: Request) -> Response:
        answer = Response(b"\x1f\x8b raw", 418, {"Content-Encoding": "gzip", "X-Own": "1"})
        answer.set_cookie("a", "1", path="/run-a")
        answer.set_cookie("b", "2", path="/run-a")
        return answer

    client = await before(stack, tmp_path, answer)
    async with client.stream("GET", "/run-a/x") as came:
        body = b"".join([chunk async for chunk in came.aiter_raw()])
    assert (came.status_code, body) == (418, b"\x1f\x8b raw")
    assert came.headers["x-own"] == "1"
    assert len(came.headers.get_list("set-cookie")) == 2
    assert len(came.headers.get_list("date")) == 1
    head = await client.head("/run-a/x")
    assert (head.status_code, head.headers["content-length"]) == (418, "6")


async def test_events_go_out_as_they_come_and_end_where_nobody_reads(
    stack: AsyncExitStack, tmp_path: Path
) -> None:
    has_ended = asyncio.Event()

    async def events() -> AsyncIterator[bytes]:
        try:
            yield b"data: 1\n\n"
            await asyncio.Event().wait()
        finally:
            has_ended.set()

    async def answer(request: Request) -> Response:
        return StreamingResponse(events(), media_type="text/event-stream")

    client = await before(stack, tmp_path, answer)
    async with asyncio.timeout(PATIENCE_S):
        async with client.stream("GET", "/run-a/stream") as stream:
            assert await anext(stream.aiter_raw()) == b"data: 1\n\n"
        await has_ended.wait()


async def test_who_is_gone_before_an_answer_waits_for_none_at_the_run(
    stack: AsyncExitStack, tmp_path: Path
) -> None:
    has_come, is_gone = asyncio.Event(), asyncio.Event()

    async def answer(request: Request) -> Response:
        await request.body()
        has_come.set()
        while not await request.is_disconnected():  # noqa: ASYNC110 -- Starlette tells no event
            await asyncio.sleep(0.01)
        is_gone.set()
        return Response()

    client = await before(stack, tmp_path, answer)
    asking = asyncio.create_task(client.post("/run-a/next", content=b"x"))
    async with asyncio.timeout(PATIENCE_S):
        await has_come.wait()
        asking.cancel()
        await is_gone.wait()


async def test_a_body_that_does_not_come_is_not_waited_for(
    stack: AsyncExitStack, tmp_path: Path
) -> None:
    client = await before(stack, tmp_path, echo, body_s=0.05)
    at = client.base_url
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection(at.host, at.port)
        writer.write(b"POST /run-a/ HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx")
        status = await reader.readline()
        writer.close()
    assert b" 408 " in status


async def test_a_run_that_does_not_answer_is_told_as_such(
    stack: AsyncExitStack, tmp_path: Path
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as unheard:
        port = unheard.getsockname()[1]
    make_run(tmp_path, "run-a", url=f"http://127.0.0.1:{port}", pages_url=f"{AT}/run-a")
    client = await stack.enter_async_context(fronted(tmp_path))
    answer = await client.get("/run-a/api/v1/run")
    assert (answer.status_code, answer.json()["error"]) == (503, "ResourceError")
    assert answer.json()["message"].startswith("run-a does not answer")
    assert answer.json()["message"].endswith(": nothing was stored")
    assert int(answer.headers["retry-after"]) > 0
    page = await client.get("/run-a/")
    assert (page.status_code, page.headers["content-type"]) == (503, "text/plain; charset=utf-8")


@pytest.mark.parametrize("dies", [True, False])
async def test_what_a_run_was_sent_and_did_not_answer_may_be_stored(
    stack: AsyncExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies: bool
) -> None:
    """A run that is killed between its disk and its answer, or is stuck there."""
    monkeypatch.setitem(forwarding.TIMEOUTS, "read", PATIENCE_S if dies else 0.05)
    stored: list[bytes] = []

    async def store(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        stored.append(await reader.readexactly(4))
        if not dies:
            await reader.read()
        writer.close()

    run = await stack.enter_async_context(await asyncio.start_server(store, "127.0.0.1", 0))
    port = run.sockets[0].getsockname()[1]
    make_run(tmp_path, "run-a", url=f"http://127.0.0.1:{port}", pages_url=f"{AT}/run-a")
    client = await stack.enter_async_context(fronted(tmp_path))
    answer = await client.post("/run-a/api/v1/labels", content=b"mine")
    page = await client.post("/run-a/leave", content=b"mine")
    said = answer.json()
    assert stored == [b"mine", b"mine"]
    assert (answer.status_code, said["error"]) == (503, "ResourceError")
    assert int(answer.headers["retry-after"]) > 0
    for message in (said["message"], page.text.rstrip()):
        assert message.startswith("run-a does not answer (")
        assert message.endswith(
            "): it is not known whether this was stored: send it again, a label counts once"
        )


async def test_an_answer_that_breaks_off_is_no_whole_one(
    stack: AsyncExitStack, tmp_path: Path
) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})

    url = await stack.enter_async_context(served(broken))
    make_run(tmp_path, "run-a", url=url, pages_url=f"{AT}/run-a")
    client = await stack.enter_async_context(fronted(tmp_path))
    with pytest.raises(httpx.RemoteProtocolError):
        await client.get("/run-a/")


async def test_a_run_that_hangs_has_its_places_and_no_more(
    stack: AsyncExitStack, tmp_path: Path
) -> None:
    goes_on = asyncio.Event()

    async def hang(request: Request) -> Response:
        await goes_on.wait()
        return Response()

    client = await before(stack, tmp_path, hang)
    other = await stack.enter_async_context(served(face(echo)))
    make_run(tmp_path, "run-b", url=other, pages_url=f"{AT}/run-b")
    hanging = [asyncio.create_task(client.get("/run-a/")) for _ in range(3)]
    async with asyncio.timeout(PATIENCE_S):
        done, _ = await asyncio.wait(hanging, return_when=asyncio.FIRST_COMPLETED)
        [refused] = [task.result() for task in done]
        assert (refused.status_code, refused.text) == (
            503,
            "run-a has too many requests open: nothing was stored\n",
        )
        assert (await client.get("/run-b/")).status_code == 200
        goes_on.set()
        statuses = [answer.status_code for answer in await asyncio.gather(*hanging)]
        assert sorted(statuses) == [200, 200, 503]
        assert (await client.get("/run-a/")).status_code == 200
