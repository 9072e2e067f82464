"""Waiting for a process that may die without a word to those who wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from protocol.errors import EngineDied

T = TypeVar("T")

POLL_S = 0.5


async def while_alive(work: Coroutine[Any, Any, T], is_dead: Callable[[], bool]) -> T:
    """Return what a coroutine returns that waits for an engine core.

    vLLM fails the draws under way when its core dies, and leaves whoever waits for anything else,
    as a load of weights, waiting.

    Args:
        work: Waits for the engine core; cancelled where that is dead, and not waited for.
        is_dead: Whether it is.

    Raises:
        EngineDied: The core died, and the work did not say so within `POLL_S` itself.
    """
    task = asyncio.create_task(work)
    try:
        was_dead = False
        while not (await asyncio.wait({task}, timeout=POLL_S))[0]:
            if was_dead:
                raise EngineDied("the vLLM engine core died: its log names the cause")
            was_dead = is_dead()
        return task.result()
    finally:
        task.cancel()
