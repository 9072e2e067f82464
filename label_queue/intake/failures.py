"""What the HTTP face could not answer: kept where the run looks, so that its owner hears of it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable

import structlog
from fastapi import Request

MOST_KINDS = 32
"""Kinds of failure remembered at once."""
LONGEST_FAILURE = 500
"""Characters."""

TellFailure = Callable[[str], Awaitable[None]]
"""Takes a failure in one line: what was asked, and what happened."""

log = structlog.get_logger(component="intake")


class IntakeFailures:
    """Failures by what they say, and how often each happened since it was last told."""

    def __init__(self) -> None:
        self._untold: OrderedDict[str, int] = OrderedDict()

    def add(self, failure: str) -> None:
        """Count a failure; of too many kinds the oldest is forgotten."""
        self._untold[failure] = self._untold.get(failure, 0) + 1
        if len(self._untold) > MOST_KINDS:
            self._untold.popitem(last=False)

    def take(self) -> dict[str, int]:
        """Return what nobody was told of yet, oldest first, as told from now on."""
        taken = dict(self._untold)
        self._untold.clear()
        return taken


async def tell_of(request: Request, error: Exception) -> None:
    """Let the run hear of a request that failed for no fault of who sent it."""
    route = request.scope.get("route")
    # The route and not the path: an id in it would make every failure another one.
    asked = f"{request.method} {getattr(route, 'path', request.url.path)}"
    said = " ".join(str(error).split())
    failure = f"{asked}: {type(error).__name__}: {said}"[:LONGEST_FAILURE]
    log.error("intake failed", failure=failure)
    tell: TellFailure | None = request.app.state.tell_failure
    if tell is not None:
        await tell(failure)
