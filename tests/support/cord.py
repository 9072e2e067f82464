"""The cord as an owner handles it: who releases it has looked at the reason that is shown."""

from __future__ import annotations

from typing import Any

from protocol.cord import CordState


async def release_shown(queue: Any, reason: str) -> CordState:
    """Release the reason shown, which is the oldest, by its name.

    Args:
        queue: A label queue with its sides `policy_loop` and `owner`, real, fake or remote.
        reason: Why it is released.
    """
    shown = (await queue.policy_loop.cord()).reasons[0]
    left: CordState = await queue.owner.release_cord(reason, shown.pull_id)
    return left
