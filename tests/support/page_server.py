"""The real application under a real HTTP server on loopback, in the test's own event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI

from label_queue.config import IntakeConfig
from label_queue.intake.app import FacedQueue, build_app


@asynccontextmanager
async def serve(app: FastAPI) -> AsyncIterator[str]:
    """Yield the address under which the application answers."""
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=0,
        log_level="warning",
        ws="none",
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        assert not serving.done(), "the server did not start"
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


@asynccontextmanager
async def serve_people(queue: FacedQueue, limits: IntakeConfig | None = None) -> AsyncIterator[str]:
    """Yield the address of the labelling face over a queue."""
    async with serve(build_app(queue, limits or IntakeConfig())) as url:
        yield url
