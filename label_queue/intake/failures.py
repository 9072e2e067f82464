"""What the HTTP face could not answer is told where the run looks: so its owner hears of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import Request

from protocol.logs import logger_of

LONGEST_FAILURE = 500
"""Characters of a failure that are told, at most."""

TellFailure = Callable[[str], Awaitable[None]]
"""Takes a failure in one line: what was asked, and what happened."""

_log = logger_of("intake")


async def tell_of(request: Request, error: Exception) -> None:
    """Let the run hear of a request that failed for no fault of who sent it."""
    route = request.scope.get("route")
    # The route and not the path: an id in it would make every failure another one.
    asked = f"{request.method} {getattr(route, 'path', request.url.path)}"
    said = " ".join(str(error).split())
    failure = f"{asked}: {type(error).__name__}: {said}"[:LONGEST_FAILURE]
    _log.error("intake failed", failure=failure)
    tell: TellFailure | None = request.app.state.tell_failure
    if tell is not None:
        await tell(failure)
