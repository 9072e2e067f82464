"""The label queue in its own process, as the HTTP face asks it."""

from __future__ import annotations

from typing import Any

from label_queue.sides.owner import OwnerSide
from label_queue.sides.people import PeopleSide
from protocol.remote import Remote, side_of

AT_ONCE = (
    "authenticate",
    "count_request",
    "held_tasks",
    "me",
    "run_info",
    "heartbeat",
    "give_back",
    "stop_waiting",
)
"""Calls of people's that are answered out of memory: they cross together."""
ON_DISK = ("submit", "next_task", "reject")
"""Calls that are answered once they are on disk: they cross together, and are in one commit.
`next_task` is asked here with no wait."""


class QueueOverThere:
    """The label queue as the HTTP face has it: what many ask at once crosses together.

    Args:
        queue: Its process.
    """

    def __init__(self, queue: Remote[Any]) -> None:
        self.people = side_of(queue, PeopleSide, AT_ONCE, ON_DISK)
        self.owner = side_of(queue, OwnerSide)
