"""What is asked while others are on their way crosses together, as one message.

    gathered = Gathered(send)
    scores = await gathered.ask(texts)

What a message costs is paid once for all that it holds, be it a call to another process or a pass
through a model, and each item is answered by itself: by what came of it, or by what it met. One
that comes alone leaves at once, so nobody waits for company; but the answers of a message come
together, so only what takes about as long as each other belongs in one.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from protocol.errors import AndonError

ItemT = TypeVar("ItemT")

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


class Gathered(Generic[ItemT]):
    """What is asked of somebody who answers many as easily as one. For one event loop.

    So many messages are on their way at a time; what comes meanwhile gathers for the next. What
    was asked first leaves first.

    Args:
        send: Asks for all items of a message; returns their outcomes in the same order. What it
            raises itself, every asker of that message raises.
        at_once: Messages on their way at a time.
        most: What the items of a message may cost together; one that costs more goes by itself.
        cost: Of an item; by default each costs 1.
    """

    def __init__(
        self,
        send: Callable[[list[ItemT]], Awaitable[Sequence[Outcome]]],
        *,
        at_once: int = 1,
        most: int = CALLS_A_MESSAGE,
        cost: Callable[[ItemT], int] = lambda _: 1,
    ) -> None:
        self._send = send
        self._at_once = at_once
        self._most = most
        self._cost = cost
        self._waiting: dict[asyncio.Future[Any], ItemT] = {}
        self._on_their_way: set[asyncio.Task[None]] = set()

    async def ask(self, item: ItemT) -> Any:
        """Return what is answered to an item, or raise what it met.

        Cancelled before it has left it is not asked at all.
        """
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[answer] = item
        self._leave()
        try:
            return await answer
        finally:
            self._waiting.pop(answer, None)

    def _leave(self) -> None:
        """Send what waits, unless as many messages are on their way as may be."""
        if self._waiting and len(self._on_their_way) < self._at_once:
            message = asyncio.create_task(self._cross())
            self._on_their_way.add(message)
            message.add_done_callback(self._arrived)

    def _arrived(self, message: asyncio.Task[None]) -> None:
        self._on_their_way.discard(message)
        self._leave()

    def _load(self) -> dict[asyncio.Future[Any], ItemT]:
        """Take off what waits by now: all that came in the same turn of the event loop."""
        loaded: dict[asyncio.Future[Any], ItemT] = {}
        room = self._most
        for answer, item in self._waiting.items():
            room -= self._cost(item)
            if loaded and room < 0:
                break
            loaded[answer] = item
        for answer in loaded:
            del self._waiting[answer]
        return loaded

    async def _cross(self) -> None:
        loaded = self._load()
        if not loaded:
            return
        try:
            outcomes = await self._send(list(loaded.values()))
        except BaseException as error:
            # Nobody else can tell the askers: an unanswered one would wait for ever.
            for answer in loaded:
                if not answer.done():
                    answer.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        for answer, outcome in zip(loaded, outcomes, strict=True):
            if answer.done():
                continue  # its asker is gone
            if outcome.error is None:
                answer.set_result(outcome.answer)
            else:
                answer.set_exception(outcome.error)
