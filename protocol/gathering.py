"""Calls that come while others are on their way cross together, as one message.

    gathered = Gathered(send)
    answer = await gathered.call(PeopleSide.authenticate, token)

What a message costs is paid once for all that it holds, and each call is answered by itself: by
what its method returned, or by what it raised. A call that comes alone leaves at once, so nobody
waits for company; but the answers of a message come together, so only calls that take about as
long as each other belong in one.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from protocol.errors import AndonError

CALLS_A_MESSAGE = 100
"""Calls in one message, at most: Ray passes arguments above 100 KiB by its object store, slower."""

Call = tuple[Callable[..., Awaitable[Any]], Sequence[Any], Mapping[str, Any]]
"""A method, as a function of its class; arguments by position and by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one call."""

    answer: Any = None
    """What it returned, unless it raised."""
    error: Exception | None = None
    """What it raised, as it can be sent: an AndonError as it was, anything else in words."""


async def outcome_of(call: Awaitable[Any]) -> Outcome:
    """Wait for a call; return what became of it. Never raises an Exception."""
    try:
        return Outcome(answer=await call)
    except AndonError as error:
        return Outcome(error=error)
    except Exception as error:  # noqa: BLE001  # raised again where the call came from
        failure = RuntimeError(f"{type(error).__name__}: {error}")
        failure.add_note("".join(traceback.format_exception(error)))
        return Outcome(error=failure)


class Gathered:
    """Methods of another process, as their callers here have them. For one event loop.

    One message is on its way at a time; what comes meanwhile gathers.

    Args:
        send: Makes all the calls, over there; returns their outcomes in the same order. What it
            raises itself, every call of that message raises.
    """

    def __init__(self, send: Callable[[list[Call]], Awaitable[Sequence[Outcome]]]) -> None:
        self._send = send
        self._waiting: dict[asyncio.Future[Any], Call] = {}
        self._on_its_way: asyncio.Task[None] | None = None

    async def call(self, method: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        """Return what the method returns, or raise what it raises.

        Cancelled before it has left it is not made at all.
        """
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[answer] = (method, args, kwargs)
        self._leave()
        try:
            return await answer
        finally:
            self._waiting.pop(answer, None)

    def _leave(self) -> None:
        """Send what waits, unless a message is on its way."""
        if self._waiting and self._on_its_way is None:
            self._on_its_way = asyncio.create_task(self._cross())
            self._on_its_way.add_done_callback(self._arrived)

    def _arrived(self, _: asyncio.Task[None]) -> None:
        self._on_its_way = None
        self._leave()

    async def _cross(self) -> None:
        """Send what waits by now: all that came in the same turn of the event loop."""
        answers = list(islice(self._waiting, CALLS_A_MESSAGE))
        calls = [self._waiting.pop(answer) for answer in answers]
        if not calls:
            return
        try:
            outcomes = await self._send(calls)
        except BaseException as error:
            # Nobody else can tell the callers: an unanswered one would wait for ever.
            for answer in answers:
                if not answer.done():
                    answer.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        for answer, outcome in zip(answers, outcomes, strict=True):
            if answer.done():
                continue  # its caller is gone
            if outcome.error is None:
                answer.set_result(outcome.answer)
            else:
                answer.set_exception(outcome.error)
