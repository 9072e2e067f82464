"""The real application under a real HTTP server on loopback, in the test's own event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from label_queue.config import IntakeConfig
from label_queue.intake.app import FacedQueue, build_app
from label_queue.intake.identity import is_identified
from label_queue.intake.public_address import Site
from label_queue.intake.server import PAGES_PORT, FaceServer
from protocol.http_server import listen


@asynccontextmanager
async def serve(
    app: FastAPI, port: int = 0, limits: IntakeConfig | None = None
) -> AsyncIterator[str]:
    """Yield the address under which the application answers."""
    listener = listen("127.0.0.1", port, PAGES_PORT)
    server = FaceServer(app, listener, limits, is_identified)
    server.start(_not_told_to)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        await server.stop()


def _not_told_to(error: BaseException | None) -> None:
    raise AssertionError("the server ended by itself") from error


@asynccontextmanager
async def serve_people(
    queue: FacedQueue,
    limits: IntakeConfig | None = None,
    site: Site | None = None,
    port: int = 0,
    prompt_language: str = "",
) -> AsyncIterator[str]:
    """Yield the address of the labelling face over a queue."""
    app = build_app(queue, limits or IntakeConfig(), site=site, prompt_language=prompt_language)
    async with serve(app, port, limits) as url:
        yield url
