"""A labelling tool over HTTP on loopback: answers as documented, and fails when told to."""

from __future__ import annotations

import json
import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

DROPPED = 0
"""In place of a status: the connection is cut without an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A request as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    """On a busy machine more than the usual five connect before the first is taken; the kernel
    lets the others try again seconds later."""


class RecordedTool:
    """Base of the recorded tools; `answer` is what they say."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.faults: deque[tuple[int, dict[str, str]]] = deque()
        """(status, headers) of the next answers; DROPPED cuts the connection."""
        self.connections: list[socket.socket] = []
        self._answered = threading.Condition()
        self._port = 0
        self._server: _Server | None = None

    def answer(self, request: Received) -> tuple[int, Any]:
        """Return status and JSON body."""
        raise NotImplementedError

    def decode(self, raw: bytes) -> Any:
        """Return what a body says."""
        return json.loads(raw)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Listen; after `stop`, at the same address, with everything as it was."""
        tool = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                tool.connections.append(self.connection)

            def do_GET(self) -> None:
                tool.handle(self)

            def do_POST(self) -> None:
                tool.handle(self)

            def do_PUT(self) -> None:
                tool.handle(self)

            def do_DELETE(self) -> None:
                tool.handle(self)

            def log_message(self, format: str, *args: object) -> None:
                return

        self._server = _Server(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Be unreachable."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            for connection in self.connections:
                with suppress(OSError):  # many have ended by themselves
                    connection.shutdown(socket.SHUT_RDWR)
            self.connections.clear()
            self._server = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("content-length") or 0)
        raw = handler.rfile.read(length)
        parts = urlsplit(handler.path)
        request = Received(
            method=handler.command,
            path=parts.path,
            query=dict(parse_qsl(parts.query)),
            headers={name.lower(): value for name, value in handler.headers.items()},
            body=self.decode(raw) if raw else None,
        )
        self.received.append(request)
        headers: dict[str, str] = {}
        if self.faults:
            status, headers = self.faults.popleft()
            body: Any = {"detail": "not now"}
            if status == DROPPED:
                handler.close_connection = True
                return
        else:
            status, body = self.answer(request)
        content = b"" if status == 204 else json.dumps(body).encode()
        with suppress(ConnectionError):  # who asked may have gone
            handler.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(content)
        with self._answered:
            self._answered.notify_all()

    def wait_until(self, condition: Callable[[], bool], timeout_s: float = 30.0) -> bool:
        """Block until an answer has made a condition true; return False when the time is up."""
        with self._answered:
            return self._answered.wait_for(condition, timeout_s)
