"""The labelling face's HTTP server: one that watches connections on which nothing is asked."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp

from label_queue.config import IntakeConfig
from label_queue.intake.connections import Doorstep, Watch
from protocol.http_server import KEEP_ALIVE_S, HttpConnection, HttpServer

PAGES_PORT = "cluster.http_port"
"""Key of the config that names the face's port."""
UNREAD_S = 60
"""How long an answer may stay unread, for as many bytes as are sent ahead, until its connection is
closed."""


class FaceServer(HttpServer):
    """The labelling face at an address.

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
        super().__init__(app, listener, _watched(limits or IntakeConfig(), is_identified), tls)


def _watched(
    limits: IntakeConfig, is_identified: Callable[[Mapping[str, Any]], bool]
) -> type[asyncio.Protocol]:
    """Return uvicorn's protocol of one connection, watched while nothing is asked on it."""
    doorstep = Doorstep(limits.max_unknown_connections)
    base: Any = HttpConnection

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
