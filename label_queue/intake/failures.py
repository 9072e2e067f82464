"""What the HTTP face could not answer: kept where the run looks, so that its owner hears of it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from label_queue.intake.schemas import ErrorAnswer

MOST_KINDS = 32
"""Kinds of failure remembered at once."""

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


def add_failures(app: FastAPI, tell: TellFailure) -> None:
    """Have the application answer 500 in JSON where it fails, and tell of it."""

    async def answer(request: Request, error: Exception) -> Response:
        route = request.scope.get("route")
        # The route and not the path: an id in it would make every failure another one.
        asked = f"{request.method} {getattr(route, 'path', request.url.path)}"
        failure = f"{asked}: {type(error).__name__}: {' '.join(str(error).split())}"[:500]
        log.error("intake failed", failure=failure)
        await tell(failure)
        body = ErrorAnswer(
            error="InternalError",
            message="the label queue failed at this; the run's owner was told: try again later",
        )
        return JSONResponse(body.model_dump(), status_code=500)

    app.add_exception_handler(Exception, answer)
