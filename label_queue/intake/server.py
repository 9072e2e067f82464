"""The HTTP server of the labelling face: uvicorn on a port of its own.

It runs in the event loop of whoever starts it, and takes requests until it is told to stop. What a
request says of its way is left for the front door to judge: uvicorn would write it over the address
of who connects.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from label_queue.config import IntakeConfig
from label_queue.intake.connections import Doorstep, Watch
from protocol.errors import ResourceError

MOST_REQUESTS = 1_000
"""Requests answered at once, long polls and streams among them; more wait."""
KEEP_ALIVE_S = 90
"""How long an idle connection is kept: longer than a proxy keeps its own, or it would send requests
into one that is closing."""
UNREAD_S = 60
"""How long an answer may stay unread, for as many bytes as are sent ahead, until its connection is
closed."""
LAST_ANSWERS_S = 2
"""For the answers under way when the server is told to stop."""
BACKLOG = 2_048
"""Connections that may wait to be taken."""
BIND_PATIENCE_S = 10.0
"""For a port to come free whose last holder was just killed."""
BIND_POLL_S = 0.1


class Turnstile:
    """ASGI: lets so many requests in at once, and has the others wait for their turn."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._places = asyncio.Semaphore(most)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request when it is its turn."""
        async with self._places:
            await self._app(scope, receive, send)


class FaceServer:
    """An application at an address.

    Args:
        app: Any ASGI application.
        listener: A bound socket, as `listen` returns it; closed by `stop`.
        limits: Of connections; None: the default ones.
        is_identified: Says, by a request's scope, whether it was found who sent it.
        tls: Files of a certificate and its key, to speak TLS with; None: plain HTTP.
    """

    def __init__(
        self,
        app: ASGIApp,
        listener: socket.socket,
        limits: IntakeConfig | None = None,
        is_identified: Callable[[Mapping[str, Any]], bool] = lambda scope: False,
        tls: tuple[Path, Path] | None = None,
    ) -> None:
        self._listener = listener
        self._server = uvicorn.Server(
            uvicorn.Config(
                Turnstile(app, MOST_REQUESTS),
                http=_watched(limits or IntakeConfig(), is_identified),
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


def _watched(
    limits: IntakeConfig, is_identified: Callable[[Mapping[str, Any]], bool]
) -> type[asyncio.Protocol]:
    """Return uvicorn's protocol of one connection, watched while nothing is asked on it."""
    doorstep = Doorstep(limits.max_unknown_connections)
    base: Any = AutoHTTPProtocol

    class Watched(base):  # type: ignore[misc]
        """Tells the watch what uvicorn hears."""

        watch: Watch

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self.watch = Watch(
                transport,
                doorstep,
                head_s=limits.max_head_s,
                idle_s=KEEP_ALIVE_S,
                unread_s=UNREAD_S,
                is_identified=is_identified,
            )

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.watch.came(len(data), self.cycle)

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self.watch.answered(self.cycle)

        def pause_writing(self) -> None:
            super().pause_writing()
            self.watch.stuck()

        def resume_writing(self) -> None:
            super().resume_writing()
            self.watch.flowing()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self.watch.lost()

    protocol: type[asyncio.Protocol] = Watched
    return protocol


def listen(host: str, port: int, patience_s: float = BIND_PATIENCE_S) -> socket.socket:
    """Return a socket that listens; blocks while the port is taken, for `patience_s` at most.

    Args:
        host: "localhost" or an address, IPv4 or IPv6; a name is looked up as IPv4.
        port: 0 for any.
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
                    "cluster.http_port to another, or to 0 for a free one"
                ) from error
        time.sleep(BIND_POLL_S)
