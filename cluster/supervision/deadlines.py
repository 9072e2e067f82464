"""The end of a wait for a part: who is silent for too long is taken for dead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from protocol.errors import ActorDied

START_TIMEOUT_S = 1200.0
"""How long a process of the run may take to come up, and to load its model."""


@asynccontextmanager
async def answered_within(timeout_s: float, silent: str) -> AsyncIterator[None]:
    """Wait for a part in the block, and no longer; a timeout of its own passes as it is.

    Args:
        timeout_s: How long it may take.
        silent: What is said where it takes longer: who waited for whom, and for what.

    Raises:
        ActorDied: It took longer.
    """
    deadline = asyncio.timeout(timeout_s)
    try:
        async with deadline:
            yield
    except TimeoutError as error:
        if not deadline.expired():
            raise
        raise ActorDied(silent) from error


def started_within(who: str, what: str) -> AbstractAsyncContextManager[None]:
    """Wait in the block for a process to come up, no longer than `START_TIMEOUT_S`.

    Args:
        who: Names it.
        what: It is to do, e.g. "start its engine".

    Raises:
        ActorDied: It took longer.
    """
    silent = f"the run waited {START_TIMEOUT_S:g} s for {who} to {what}"
    return answered_within(START_TIMEOUT_S, silent)
