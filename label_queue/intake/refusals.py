"""What is answered when a request is refused: JSON for clients, a plain page for browsers.

JSON is in English. A page says what that means for a person in their language, and adds the English
of it where that says more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from label_queue.intake.failures import tell_of
from label_queue.intake.rendering import render_notice, root_of
from label_queue.intake.schemas import ErrorAnswer
from protocol.errors import DiskFull, InvalidLabel, LabelError, QueueClosed, ResourceError

REFUSALS = {
    401: "No token or session, or one that is wrong, expired or revoked",
    403: "Somebody else's assignment, a labeler_id in the body, a request from another site, or "
    "one that only the owner may send",
    404: "No such assignment, labeler, query or version",
    408: "The body did not come in time",
    409: "This was answered before, differently, or cannot be done in the present state",
    413: "The body is over the limit",
    415: "The body is compressed, which is not undone here",
    421: "Sent to an address that is not the run's",
    422: "A field is wrong; `field` names it",
    429: "Too fast; Retry-After says how long to wait",
    503: "Not available now, and the message says whether anything was stored; try again later",
    507: "The disk of the run is full and nothing was stored; try again later",
}
PAGE_WORDS = {
    401: ("signed_out.heading", "signed_out.text"),
    403: ("problem.forbidden.heading", "problem.forbidden.text"),
    404: ("problem.no_page.heading", "problem.no_page.text"),
    405: ("problem.no_such_use.heading", "problem.no_such_use.text"),
    421: ("problem.elsewhere.heading", "problem.elsewhere.text"),
    429: ("problem.too_fast.heading", "problem.too_fast.text"),
    500: ("problem.failed.heading", "problem.failed.text"),
    503: ("problem.unavailable.heading", "problem.unavailable.text"),
    507: ("problem.disk_full.heading", "problem.disk_full.text"),
}
"""Names of the words by which a page tells of a status."""
OTHER_WORDS = ("problem.other.heading", "problem.other.text")
ROUTE_MESSAGES = {
    404: "There is no such page.",
    405: "This page cannot be used in that way.",
}
"""The API's words for what its router raises; a page has its own, which say no less."""
RETRY_AFTER_S = 5
MEND_FULL = (
    "the disk of the run is full: nothing was stored, and nothing that was is lost; the run's "
    "owner must free space on it, then send this again"
)
MAY_NOT_BE_STORED = "this may not have been stored: send it again, a label counts once"


def refusals(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI answers for these statuses."""
    return {code: {"model": ErrorAnswer, "description": REFUSALS[code]} for code in codes}


def error_answer(error: LabelError) -> ErrorAnswer:
    """Return a refusal as it crosses the API."""
    return ErrorAnswer(error=type(error).__name__, message=error.message, field=error.field)


def add_refusals(app: FastAPI) -> None:
    """Let the application turn errors into answers."""
    app.add_exception_handler(LabelError, refuse)
    app.add_exception_handler(RequestValidationError, _refuse_query)
    app.add_exception_handler(DiskFull, _refuse_full)
    app.add_exception_handler(ResourceError, _refuse_unstored)
    app.add_exception_handler(QueueClosed, _refuse_ended)
    app.add_exception_handler(HTTPException, refuse_route)
    app.add_exception_handler(Exception, _refuse_failed)


async def refuse(request: Request, error: Exception) -> Response:
    """Answer with a LabelError."""
    assert isinstance(error, LabelError)
    headers: dict[str, str] = {}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.status == 408:
        headers["Connection"] = "close"  # the rest of the body may still come
    if error.status == 429:
        headers["Retry-After"] = str(error.args[1])
    return _answer(request, error.status, error_answer(error), headers)


async def _refuse_query(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    problem: Mapping[str, Any] = error.errors()[0]
    location: Sequence[object] = problem["loc"]
    field = ".".join(map(str, location[1:]))
    answer = ErrorAnswer(
        error=InvalidLabel.__name__, message=f"{field}: {problem['msg']}", field=field
    )
    return _answer(request, 422, answer, {})


async def _refuse_failed(request: Request, error: Exception) -> Response:
    await tell_of(request, error)
    answer = ErrorAnswer(
        error="InternalError",
        message="the label queue failed at this; the run's owner was told: try again later",
    )
    return _answer(request, 500, answer, {})


async def _refuse_unstored(request: Request, error: Exception) -> Response:
    # Where the connection to a ledger's server was lost, it may be stored all the same.
    await tell_of(request, error)
    return _unavailable(request, ResourceError.__name__, MAY_NOT_BE_STORED)


async def _refuse_full(request: Request, error: Exception) -> Response:
    await tell_of(request, error)
    return _unavailable(request, DiskFull.__name__, MEND_FULL, status=507)


async def _refuse_ended(request: Request, error: Exception) -> Response:
    return _unavailable(request, QueueClosed.__name__, "the run has ended: nothing was stored")


def _unavailable(request: Request, name: str, message: str, status: int = 503) -> Response:
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return _answer(request, status, ErrorAnswer(error=name, message=message), headers)


async def refuse_route(request: Request, error: Exception) -> Response:
    """Answer with an HTTPException, as the router raises them."""
    assert isinstance(error, HTTPException)
    phrase = HTTPStatus(error.status_code).phrase
    message = ROUTE_MESSAGES.get(error.status_code, phrase)
    answer = ErrorAnswer(error=phrase.title().replace(" ", ""), message=message)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_methods_at(request))
    return _answer(request, error.status_code, answer, headers)


def _methods_at(request: Request) -> list[str]:
    """Return what a path takes by all of its routes; the router looks at the first alone."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    there = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for route in there for method in route.methods or ()})


def _answer(
    request: Request, status: int, answer: ErrorAnswer, headers: dict[str, str]
) -> Response:
    wants_page = "text/html" in request.headers.get("accept", "")
    root = root_of(request)
    if wants_page and not request.url.path.startswith(f"{root}/api/"):
        detail = "" if status in ROUTE_MESSAGES else answer.message
        return render_notice(
            request,
            *PAGE_WORDS.get(status, OTHER_WORDS),
            status=status,
            headers=headers,
            detail=detail,
        )
    return JSONResponse(answer.model_dump(), status_code=status, headers=headers)
