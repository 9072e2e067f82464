"""An HTTP server in the event loop of whoever starts it: uvicorn on a port of its own.

It takes requests until it is told to stop. What a request says of its way is left to the
application to judge: uvicorn would write it over the address of who connects.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from protocol.errors import ResourceError
from protocol.logs import logger_of

MOST_REQUESTS = 1_000
"""Requests answered at once, long polls and streams among them; more wait."""
KEEP_ALIVE_S = 90
"""How long an idle connection is kept: longer than a proxy keeps its own, or it would send requests
into one that is closing."""
LAST_ANSWERS_S = 2
"""For the answers under way when the server is told to stop."""
BACKLOG = 2_048
"""Connections that may wait to be taken."""
BIND_PATIENCE_S = 10.0
"""For a port to come free whose last holder was just killed."""
BIND_POLL_S = 0.1

HttpConnection: type[asyncio.Protocol] = AutoHTTPProtocol
"""uvicorn's protocol of one connection: the fastest parser that is installed."""

_log = logger_of("http_server")


class Turnstile:
    """ASGI: lets so many requests in at once, and has the others wait for their turn."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._places = asyncio.Semaphore(most)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request when it is its turn."""
        async with self._places:
            await self._app(scope, receive, send)


class HttpServer:
    """An application at an address.

    Args:
        app: Any ASGI application.
        listener: A bound socket, as `listen` returns it; closed by `stop`.
        protocol: Of one connection; uvicorn's own by default.
        tls: Files of a certificate and its key, to speak TLS with; None: plain HTTP.
    """

    def __init__(
        self,
        app: ASGIApp,
        listener: socket.socket,
        protocol: type[asyncio.Protocol] = HttpConnection,
        tls: tuple[Path, Path] | None = None,
    ) -> None:
        self._listener = listener
        self._server = uvicorn.Server(
            uvicorn.Config(
                Turnstile(app, MOST_REQUESTS),
                http=protocol,
                backlog=BACKLOG,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=LAST_ANSWERS_S,
                proxy_headers=False,
                server_header=False,
                access_log=False,
                log_config=None,
                lifespan="off",
                ws="none",
                ssl_certfile=None if tls is None else tls[0],
                ssl_keyfile=None if tls is None else tls[1],
            )
        )
        self._serving: asyncio.Task[None] | None = None

    def start(self, ended: Callable[[BaseException | None], None]) -> None:
        """Begin to serve in the running event loop.

        Args:
            ended: Called where that ends though nobody told it to, with what was raised, if
                anything was.
        """

        def note(serving: asyncio.Task[None]) -> None:
            if not self._server.should_exit:
                ended(None if serving.cancelled() else serving.exception())

        self._serving = asyncio.create_task(self._server.serve(sockets=[self._listener]))
        self._serving.add_done_callback(note)

    async def stop(self) -> None:
        """Take no more requests, finish the answers under way, and end. May be called twice."""
        self._server.should_exit = True
        await self.ended()

    async def ended(self) -> None:
        """Return when it serves no more: by `stop`, or a signal where this is the main thread."""
        if self._serving is not None:
            await asyncio.wait({self._serving})


def end_process(error: BaseException | None) -> None:
    """End a process that listens no more, so that whoever minds it starts another."""
    _log.error("the HTTP server ended by itself", error=repr(error))
    os._exit(1)


def listen(host: str, port: int, key: str, patience_s: float = BIND_PATIENCE_S) -> socket.socket:
    """Return a socket that listens; blocks while the port is taken, for `patience_s` at most.

    Args:
        host: "localhost" or an address, IPv4 or IPv6; a name is looked up as IPv4.
        port: 0 for any.
        key: Of the config, which names the port, for the error.
        patience_s: How long to try.

    Raises:
        ResourceError: The port is somebody else's, or may not be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    until = time.monotonic() + patience_s
    while True:
        try:
            return socket.create_server((host, port), family=family, backlog=BACKLOG)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() >= until:
                raise ResourceError(
                    f"port {port} on {host} cannot be bound ({error.strerror}): set "
                    f"{key} to another, or to 0 for a free one"
                ) from error
        time.sleep(BIND_POLL_S)
