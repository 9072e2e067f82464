"""The owner's overview as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

from pydantic_core import to_json

from label_queue.oversight.overview import Overview
from label_queue.sides.owner import OwnerSide
from protocol.errors import QueueClosed

KEEP_ALIVE_S = 15.0
"""Time without an event after which a comment is sent, so that nothing between closes the
stream."""
PAUSE_S = 1.0
"""Pause between two events: with many labelers something changes all the time."""
RECONNECT_MS = 2_000
"""How long a browser waits before it comes back."""
KEEP_ALIVE = ": keep-alive\n\n"
ENDED = "event: ended\ndata: {}\n\n"


def as_event(overview: Overview) -> str:
    """Return an overview as one `overview` event; JSON has no line break of its own."""
    return f"retry: {RECONNECT_MS}\nevent: overview\ndata: {to_json(overview).decode()}\n\n"


async def overview_events(
    owner: OwnerSide,
    first: Overview,
    is_welcome: Callable[[], Awaitable[bool]],
    *,
    keep_alive_s: float = KEEP_ALIVE_S,
    pause_s: float = PAUSE_S,
) -> AsyncIterator[str]:
    """Yield `first`, then each change of the overview, until the run ends.

    `is_welcome` is asked before each event whether the owner's token still counts; a last event
    `ended` says that it does not.
    """
    yield as_event(first)
    shown = first
    while True:
        await asyncio.sleep(pause_s)
        try:
            newest = await owner.wait_for_overview(shown.at, keep_alive_s)
        except QueueClosed:
            return
        if not await is_welcome():
            yield ENDED
            return
        if newest == replace(shown, at=newest.at):
            yield KEEP_ALIVE
        else:
            yield as_event(newest)
        shown = newest
