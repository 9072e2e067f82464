"""The real application under a real HTTP server on loopback, in the test's own event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI

from label_queue.config import IntakeConfig
from label_queue.intake.app import FacedQueue, build_app
from label_queue.intake.public_address import Site


@asynccontextmanager
async def serve(app: FastAPI, port: int = 0) -> AsyncIterator[str]:
    """Yield the address under which the application answers."""
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=port,
        forwarded_allow_ips="",  # as a run tells Serve
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
async def serve_people(
    queue: FacedQueue,
    limits: IntakeConfig | None = None,
    site: Site | None = None,
    port: int = 0,
) -> AsyncIterator[str]:
    """Yield the address of the labelling face over a queue."""
    async with serve(build_app(queue, limits or IntakeConfig(), site=site), port) as url:
        yield url
