"""The labelling API, version 1. Its bodies are in `schemas`; every answer is in its OpenAPI page.

Plain FastAPI over the `IntakeQueue` port: it runs under Ray Serve, or in a test without Ray.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic.json_schema import models_json_schema

from label_queue.config import IntakeConfig
from label_queue.intake.bodies import parse_submission, read_limited, split_lines
from label_queue.intake.port import IntakeQueue
from label_queue.intake.schemas import (
    ErrorAnswer,
    Heartbeat,
    LabelAnswer,
    LabelSubmission,
    LineAnswer,
    RunInfo,
    Task,
)
from protocol.errors import (
    Forbidden,
    InvalidLabel,
    LabelError,
    ResourceError,
    Unauthenticated,
)

NDJSON = "application/x-ndjson"
REFUSALS = {
    401: "No token, or one that is wrong or expired",
    403: "Somebody else's assignment, a labeler_id in the body, or a request from another site",
    404: "No such assignment",
    409: "This revision was answered before, differently",
    413: "The body is over the limit",
    422: "A field is wrong; `field` names it",
    429: "Too fast; Retry-After says how long to wait",
    503: "Nothing was stored; try again later",
}


def _refusals(*codes: int) -> dict[int | str, dict[str, Any]]:
    return {code: {"model": ErrorAnswer, "description": REFUSALS[code]} for code in codes}


async def same_site(request: Request) -> None:
    """Refuse a browser's request that another site made it send."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise Forbidden("requests from other sites are refused: use the labelling page itself")


bearer = HTTPBearer(auto_error=False, description="One token a labeler, from the run's owner.")


async def labeler(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> str:
    """Return who sends the request, which its token alone decides."""
    if credentials is None:
        raise Unauthenticated("send the header 'Authorization: Bearer TOKEN'")
    return await _queue(request).authenticate(credentials.credentials)


Labeler = Annotated[str, Depends(labeler)]
router = APIRouter(prefix="/api/v1", tags=["labels"])


def _queue(request: Request) -> IntakeQueue:
    queue: IntakeQueue = request.app.state.queue
    return queue


@router.get(
    "/tasks/next",
    response_model=Task,
    responses={204: {"description": "Nothing to label yet"}, **_refusals(401, 422, 429, 503)},
)
async def next_task(
    request: Request, labeler_id: Labeler, wait_s: Annotated[float, Query(ge=0, le=3600)] = 0.0
) -> Task | Response:
    """Lease the next comparison, waiting up to `wait_s` seconds (cut to the server's limit)."""
    limits: IntakeConfig = request.app.state.limits
    task = await _queue(request).next_task(labeler_id, min(wait_s, limits.max_wait_s))
    return Response(status_code=204) if task is None else task


LABEL_BODIES = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/LabelSubmission"}},
            NDJSON: {"schema": {"$ref": "#/components/schemas/LabelSubmission"}},
        },
    }
}
LINE_ANSWERS = {NDJSON: {"schema": {"$ref": "#/components/schemas/LineAnswer"}}}


@router.post(
    "/labels",
    dependencies=[Depends(same_site)],
    openapi_extra=LABEL_BODIES,
    responses={
        200: {
            "model": LabelAnswer,
            "description": "On disk. For a batch, what became of each line",
            "content": LINE_ANSWERS,
        },
        **_refusals(401, 403, 409, 413, 422, 429, 503),
    },
)
async def post_labels(request: Request, labeler_id: Labeler) -> Response:
    """Take one label (`application/json`) or one a line (`application/x-ndjson`).

    A 2xx answer means that the label is on disk. Idempotent by `assignment_id:revision`. Each line
    of a batch is taken or refused by itself, and answered in order.
    """
    content_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if content_type == "application/json":
        return await _post_one(request, labeler_id)
    if content_type == NDJSON:
        return await _post_batch(request, labeler_id)
    raise InvalidLabel(
        f"{content_type or 'none'} is not taken: send application/json or {NDJSON}",
        "Content-Type",
    )


async def _post_one(request: Request, labeler_id: str) -> Response:
    limits: IntakeConfig = request.app.state.limits
    raw = await read_limited(request.stream(), limits.max_body_bytes)
    try:
        submission = parse_submission(raw, limits.max_body_bytes)
    except LabelError as error:
        await _reject(request, labeler_id, error, raw)
        raise
    [answer] = await _queue(request).submit(labeler_id, [submission])
    if isinstance(answer, LabelError):
        raise answer
    return Response(answer.model_dump_json(), media_type="application/json")


async def _post_batch(request: Request, labeler_id: str) -> Response:
    limits: IntakeConfig = request.app.state.limits
    raw = await read_limited(request.stream(), limits.max_batch_bytes)
    results: dict[int, LabelAnswer | LabelError] = {}
    submissions: dict[int, LabelSubmission] = {}
    for number, line in split_lines(raw, limits.max_batch_labels):
        try:
            submissions[number] = parse_submission(line, limits.max_body_bytes)
        except LabelError as error:
            await _reject(request, labeler_id, error, line)
            results[number] = error
    answers = await _queue(request).submit(labeler_id, list(submissions.values()))
    results.update(zip(submissions, answers, strict=True))
    lines = [_line_answer(number, results[number]) for number in sorted(results)]
    body = "".join(f"{line.model_dump_json(exclude_none=True)}\n" for line in lines)
    return Response(body, media_type=NDJSON)


async def _reject(request: Request, labeler_id: str, error: LabelError, raw: bytes) -> None:
    limits: IntakeConfig = request.app.state.limits
    payload = raw[: limits.dead_letter_chars].decode(errors="replace")
    await _queue(request).reject(labeler_id, error, payload)


def _line_answer(number: int, result: LabelAnswer | LabelError) -> LineAnswer:
    if isinstance(result, LabelError):
        return LineAnswer(line=number, status=result.status, error=_error_answer(result))
    return LineAnswer(line=number, status=200, answer=result)


@router.post(
    "/assignments/{assignment_id}/heartbeat",
    dependencies=[Depends(same_site)],
    responses=_refusals(401, 403, 404, 429),
)
async def heartbeat(request: Request, labeler_id: Labeler, assignment_id: str) -> Heartbeat:
    """Renew the lease of a task that is being worked on."""
    return Heartbeat(lease_until=await _queue(request).heartbeat(labeler_id, assignment_id))


@router.get("/run", responses=_refusals(401))
async def run_info(request: Request, labeler_id: Labeler) -> RunInfo:
    """Say how the run's labelling stands."""
    return await _queue(request).run_info()


def _error_answer(error: LabelError) -> ErrorAnswer:
    return ErrorAnswer(error=type(error).__name__, message=error.message, field=error.field)


async def _refuse(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, LabelError)
    headers: dict[str, str] = {}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.status == 429:
        headers["Retry-After"] = str(error.args[1])
    return _error_response(error.status, _error_answer(error), headers)


async def _refuse_query(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    problem: Mapping[str, Any] = error.errors()[0]
    location: Sequence[object] = problem["loc"]
    field = ".".join(map(str, location[1:]))
    answer = ErrorAnswer(
        error=InvalidLabel.__name__, message=f"{field}: {problem['msg']}", field=field
    )
    return _error_response(422, answer, {})


async def _refuse_unstored(request: Request, error: Exception) -> JSONResponse:
    answer = ErrorAnswer(error=ResourceError.__name__, message="nothing was stored: try again")
    return _error_response(503, answer, {"Retry-After": "5"})


def _error_response(status: int, answer: ErrorAnswer, headers: dict[str, str]) -> JSONResponse:
    return JSONResponse(answer.model_dump(), status_code=status, headers=headers)


class LabelApi(FastAPI):
    """FastAPI with the bodies it does not parse itself on its OpenAPI page."""

    def openapi(self) -> dict[str, Any]:
        """Return the page's content."""
        if self.openapi_schema is None:
            page = super().openapi()
            _, definitions = models_json_schema(
                [(LabelSubmission, "validation"), (LineAnswer, "serialization")],
                ref_template="#/components/schemas/{model}",
            )
            page["components"]["schemas"].update(definitions["$defs"])
        return super().openapi()


def build_app(queue: IntakeQueue, limits: IntakeConfig) -> FastAPI:
    """Return the API over a label queue."""
    app = LabelApi(
        title="Andon labels",
        version="1",
        description="Ask for comparisons and answer them. Every request carries a labeler's token.",
        exception_handlers={
            LabelError: _refuse,
            RequestValidationError: _refuse_query,
            ResourceError: _refuse_unstored,
        },
    )
    app.state.queue = queue
    app.state.limits = limits
    app.include_router(router)
    return app
