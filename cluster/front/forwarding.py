"""A request passed on to a labelling face as it came, and the answer back as it comes.

Path, `Host`, cookies and tokens go on whole: the run judges them, as behind any proxy. It is told
that the request was forwarded, so that none is ever taken for one of its own machine's. Bodies and
answers are not gathered: events go out as they come. Whoever is gone waits for nothing there.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import httpx
from starlette.types import Receive, Scope, Send

from label_queue.intake.public_address import FORWARDING
from protocol.errors import BodyTooSlow, ResourceError

MOST_OF_ONE_RUN = 500
"""Requests that may be open to one run: half of all, so that one that hangs stops no other."""
CONNECT_S = 5.0
SILENCE_S = 75.0
"""How long a run may say nothing: above a long poll's 30 s, and the 15 s of an event stream."""
IDLE_CONNECTIONS = 64
IDLE_S = 30.0
"""How long an idle connection to a run is kept: shorter than the run keeps it."""
NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
"""Errors of before a request was sent; after any other it may have been taken."""
TIMEOUTS = {"connect": CONNECT_S, "read": SILENCE_S, "write": SILENCE_S, "pool": None}
OF_A_CONNECTION = frozenset(
    {
        *(b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer"),
        *(b"transfer-encoding", b"upgrade", b"expect"),
    }
)
"""Headers that are about one connection and not about what it carries."""
FORWARDED = frozenset(name.encode() for name in FORWARDING)
Headers = list[tuple[bytes, bytes]]


class NoAnswer(Exception):  # no fault of ours: who sent the request is told
    """A run was sent a request and gave no answer: whether it took effect is not known."""


class Forwarder:
    """Passes requests on.

    Args:
        body_s: Time for a body to come in.
        believes: Whether what a request says of its way is passed on: of who comes from loopback,
            as it is by the runs themselves.
        most_of_one: Requests that may be open to one run.
    """

    def __init__(
        self, *, body_s: float, believes: bool, most_of_one: int = MOST_OF_ONE_RUN
    ) -> None:
        self._body_s = body_s
        self._believes = believes
        self._most_of_one = most_of_one
        self._open: Counter[str] = Counter()
        self._transport = httpx.AsyncHTTPTransport(
            trust_env=False,
            limits=httpx.Limits(
                max_connections=None,
                max_keepalive_connections=IDLE_CONNECTIONS,
                keepalive_expiry=IDLE_S,
            ),
        )

    async def close(self) -> None:
        """Close the idle connections. May be called twice."""
        await self._transport.aclose()

    async def forward(self, face: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Have a run answer a request; return early where who sent it is gone.

        An answer that breaks off on its way breaks off for who waits for it, too.

        Args:
            face: Where the run's labelling face listens.
            scope: The request's, as the three arguments of any ASGI application.
            receive: Gives its body.
            send: Takes the answer.

        Raises:
            ResourceError: The run was not sent it: nobody listens there, or it has too much to
                answer already.
            NoAnswer: The run was sent some or all of it, and did not answer.
            BodyTooSlow: The body was not there in time.
        """
        if self._open[face] >= self._most_of_one:
            raise ResourceError("has too many requests open")
        self._open[face] += 1
        body = _Body(receive, self._body_s)
        answering = asyncio.create_task(self._answer(face, scope, body, send))
        hearing = asyncio.create_task(body.hear())
        try:
            await asyncio.wait((answering, hearing), return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                answering.result()
        finally:
            self._open[face] -= 1
            answering.cancel()
            hearing.cancel()
            await asyncio.gather(answering, hearing, return_exceptions=True)

    async def _answer(self, face: str, scope: Scope, body: _Body, send: Send) -> None:
        headers = self._passed_on(scope)
        names = {name for name, _ in scope["headers"]}
        request = httpx.Request(
            scope["method"],
            face,
            headers=headers,
            content=body.chunks() if names & {b"content-length", b"transfer-encoding"} else None,
            extensions={"target": _target(scope), "timeout": TIMEOUTS},
        )
        try:
            answer = await self._transport.handle_async_request(request)
        except httpx.TransportError as error:
            kind = ResourceError if isinstance(error, NEVER_SENT) else NoAnswer
            raise kind(f"does not answer ({str(error) or type(error).__name__})") from error
        try:
            await send(
                {
                    "type": "http.response.start",
                    "status": answer.status_code,
                    "headers": _without_connection(answer.headers.raw, {b"date"}),
                }
            )
            async for chunk in answer.aiter_raw():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except httpx.TransportError:
            pass  # the server closes a connection whose answer was never ended
        finally:
            await answer.aclose()

    def _passed_on(self, scope: Scope) -> Headers:
        """Return a request's headers as a run is given them."""
        came: Headers = scope["headers"]
        dropped = set() if self._believes else set(FORWARDED)
        if any(name == b"transfer-encoding" for name, _ in came):
            dropped.add(b"content-length")  # which then counts nothing
        headers = _without_connection(came, dropped)
        if not any(name in FORWARDED for name, _ in headers):
            peer = scope["client"][0] if scope.get("client") else "unknown"
            headers.append((b"x-forwarded-for", peer.encode()))
            if not self._believes:
                headers.append((b"x-forwarded-proto", scope["scheme"].encode()))
        return headers


class _Body:
    """A request's body, on its way from who sends it to a run.

    Args:
        receive: Gives it.
        limit_s: How long it may take.
    """

    def __init__(self, receive: Receive, limit_s: float) -> None:
        self._receive = receive
        self._limit_s = limit_s
        self._until = asyncio.get_running_loop().time() + limit_s
        # One: who sends faster than the run takes waits.
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue(1)

    async def hear(self) -> None:
        """Take the body in; return when who sends it is gone."""
        while (message := await self._receive())["type"] == "http.request":
            if message.get("body"):
                await self._chunks.put(message["body"])
            if not message.get("more_body"):
                await self._chunks.put(None)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes. Raises BodyTooSlow."""
        while True:
            try:
                async with asyncio.timeout_at(self._until):
                    chunk = await self._chunks.get()
            except TimeoutError as error:
                raise BodyTooSlow(f"the body was not here within {self._limit_s:g} s") from error
            if chunk is None:
                return
            yield chunk


def _without_connection(headers: Headers, dropped: set[bytes]) -> Headers:
    """Return headers, in small letters, without those about a connection and some others."""
    lower = [(name.lower(), value) for name, value in headers]
    named = {
        part.strip().lower()
        for name, value in lower
        if name == b"connection"
        for part in value.split(b",")
    }
    gone = (OF_A_CONNECTION | named | dropped) - {b"host"}
    return [(name, value) for name, value in lower if name not in gone]


def _target(scope: Scope) -> bytes:
    """Return path and query as they were sent."""
    query: bytes = scope["query_string"]
    path: bytes = scope["raw_path"]
    return path + b"?" + query if query else path
