"""The labelers' API, version 1. Its bodies are in `schemas`; every answer is in the OpenAPI."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Annotated, Literal
from uuid import uuid4

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic_core import to_json
from starlette.requests import ClientDisconnect

from label_queue.config import IntakeConfig
from label_queue.intake.bodies import (
    JSON,
    body_of,
    body_schema,
    content_type_of,
    parse_submission,
    read_limited,
    split_lines,
)
from label_queue.intake.identity import (
    Labeler,
    bearer,
    identify,
    identify_labeler,
    people_of,
)
from label_queue.intake.refusals import error_answer, refusals
from label_queue.intake.schemas import NOT_FOR_LABELERS, CordPull, LineAnswer
from label_queue.labeling.own_work import HeldTasks, Me
from label_queue.labeling.run_info import RunInfo
from label_queue.labeling.submissions import LabelAnswer, LabelSubmission
from label_queue.labeling.tasks import Renewal, Task
from protocol.cord import CordState
from protocol.errors import InvalidLabel, LabelError, QueueClosed, ResourceError, TooFast
from protocol.fault_points import reached

NDJSON = "application/x-ndjson"

router = APIRouter(prefix="/api/v1", tags=["labels"])


@router.get(
    "/tasks/next",
    response_model=Task,
    responses={
        204: {"description": "Nothing to label yet"},
        **refusals(401, 403, 422, 429, 503, 507),
    },
)
async def next_task(
    request: Request, labeler_id: Labeler, wait_s: Annotated[float, Query(ge=0, le=3600)] = 0.0
) -> Task | Response:
    """Lease the next comparison, waiting up to `wait_s` seconds (cut to the server's limit)."""
    limits: IntakeConfig = request.app.state.limits
    people = people_of(request)
    task = await people.next_task(labeler_id, 0.0)
    if task is None and wait_s > 0:
        # By itself: no answer that is there at once waits for one that may take half a minute.
        task = await _wait_for_task(request, labeler_id, min(wait_s, limits.max_wait_s))
    return Response(status_code=204) if task is None else task


async def _wait_for_task(request: Request, labeler_id: str, wait_s: float) -> Task | None:
    """Wait for a task, for as long as who asked is there; one that comes later is given back.

    So is one that comes when they may not label any more: what they came by may end meanwhile.
    """
    people, wait_id = people_of(request), uuid4().hex
    waiting = asyncio.create_task(people.wait_for_task(labeler_id, wait_s, wait_id))
    gone = asyncio.create_task(_gone(request))
    try:
        await asyncio.wait((waiting, gone), return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            await people.stop_waiting(wait_id)
        task = await waiting
        if task is None:
            return None
        try:
            await _refuse_unwelcome(request)
            if gone.done():
                raise ClientDisconnect
        except (LabelError, ClientDisconnect):
            await people.give_back(labeler_id, task.assignment_id)
            raise
        return task
    finally:
        waiting.cancel()
        gone.cancel()


async def _refuse_unwelcome(request: Request) -> None:
    """Raise as at first where who sends a request may not label by now."""
    await identify_labeler(await identify(request, await bearer(request)))


async def _gone(request: Request) -> None:
    """Return once the connection is closed, as a page's is that was left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


@router.get("/tasks/held", responses=refusals(401, 403, 429, 503))
async def held_tasks(request: Request, labeler_id: Labeler) -> HeldTasks:
    """Return the comparisons leased to this labeler and not answered yet, oldest first."""
    return await people_of(request).held_tasks(labeler_id)


@router.post(
    "/labels",
    openapi_extra=body_schema(LabelSubmission, JSON, NDJSON),
    responses={
        200: {
            "model": LabelAnswer,
            "description": "On disk. For a batch, what became of each line",
            "content": {NDJSON: {"schema": {"$ref": "#/components/schemas/LineAnswer"}}},
        },
        **refusals(401, 403, 408, 409, 413, 415, 422, 429, 503, 507),
    },
)
async def post_labels(request: Request, labeler_id: Labeler) -> Response:
    """Take one label (`application/json`) or one a line (`application/x-ndjson`).

    A 2xx answer means that the label is on disk. Idempotent by `assignment_id:revision`. Each line
    of a batch is taken or refused by itself, and answered in order.
    """
    content_type = content_type_of(request)
    if content_type == JSON:
        return await _post_one(request, labeler_id)
    if content_type == NDJSON:
        return await _post_batch(request, labeler_id)
    raise InvalidLabel(
        f"{content_type or 'none'} is not taken: send {JSON} or {NDJSON}", "Content-Type"
    )


async def _post_one(request: Request, labeler_id: str) -> Response:
    limits: IntakeConfig = request.app.state.limits
    raw = await read_limited(request, limits.max_body_bytes, labeler_id)
    try:
        submission = parse_submission(raw, limits.max_body_bytes)
    except LabelError as error:
        # What is wrong with it must be told, also where no copy of it can be kept: sent again, as
        # a full disk's answer asks, it would be as wrong.
        with suppress(ResourceError, QueueClosed):
            await _reject(request, labeler_id, error, raw)
        raise
    [answer] = await people_of(request).submit(labeler_id, [submission], _system(request))
    await reached("intake.reply")
    if isinstance(answer, LabelError):
        raise answer
    return Response(to_json(answer), media_type=JSON)


async def _post_batch(request: Request, labeler_id: str) -> Response:
    limits: IntakeConfig = request.app.state.limits
    raw = await read_limited(request, limits.max_batch_bytes, labeler_id)
    results: dict[int, LabelAnswer | LabelError] = {}
    submissions: dict[int, LabelSubmission] = {}
    refused: list[tuple[LabelError, bytes]] = []
    for number, line in split_lines(raw, limits.max_batch_labels):
        try:
            submissions[number] = parse_submission(line, limits.max_body_bytes)
        except LabelError as error:
            refused.append((error, line))
            results[number] = error
    answers = await people_of(request).submit(
        labeler_id, list(submissions.values()), _system(request)
    )
    results.update(zip(submissions, answers, strict=True))
    # However many lines are bad, the good ones are in, and that is what must be answered: past the
    # rate, on a full disk and at the run's end no copy is kept of the rest.
    with suppress(TooFast, ResourceError, QueueClosed):
        for why, line in refused:
            await _reject(request, labeler_id, why, line)
    lines = [_line_answer(number, results[number]) for number in sorted(results)]
    body = "".join(f"{line.model_dump_json(exclude_none=True)}\n" for line in lines)
    return Response(body, media_type=NDJSON)


def _system(request: Request) -> Literal["api", "page"]:
    """Return where a label came from: whoever is known by a cookie sits before the page."""
    return "api" if "authorization" in request.headers else "page"


async def _reject(request: Request, labeler_id: str, error: LabelError, raw: bytes) -> None:
    limits: IntakeConfig = request.app.state.limits
    payload = raw[: limits.dead_letter_chars].decode(errors="replace")
    await people_of(request).reject(labeler_id, error, payload, uuid4().hex)


def _line_answer(number: int, result: LabelAnswer | LabelError) -> LineAnswer:
    if isinstance(result, LabelError):
        return LineAnswer(line=number, status=result.status, error=error_answer(result))
    return LineAnswer(line=number, status=200, answer=result)


@router.post(
    "/assignments/{assignment_id}/heartbeat", responses=refusals(401, 403, 404, 422, 429, 503)
)
async def heartbeat(request: Request, labeler_id: Labeler, assignment_id: str) -> Renewal:
    """Renew the lease of a task that is being worked on, up to its total age."""
    return await people_of(request).heartbeat(labeler_id, assignment_id)


@router.get("/run", responses=refusals(401, 403, 429, 503))
async def run_info(request: Request, labeler_id: Labeler) -> RunInfo:
    """Say what the run wants of those who label, and whether it wants any more."""
    return await people_of(request).run_info(labeler_id)


@router.get(
    "/me",
    response_model_exclude={"cord": NOT_FOR_LABELERS},
    responses=refusals(401, 403, 429, 503),
)
async def me(request: Request, labeler_id: Labeler) -> Me:
    """Say what this labeler has done, their last answer, the guidelines, and how the cord hangs."""
    return await people_of(request).me(labeler_id)


@router.post(
    "/cord",
    response_model_exclude=NOT_FOR_LABELERS,
    openapi_extra=body_schema(CordPull),
    responses=refusals(401, 403, 408, 413, 415, 422, 429, 503, 507),
)
async def pull_cord(
    request: Request, labeler_id: Labeler, body: Annotated[CordPull, Depends(body_of(CordPull))]
) -> CordState:
    """Stop the line: the learner pauses before its next step.

    Each labeler has one open reason; the oldest is the one shown.
    """
    return await people_of(request).pull_cord(labeler_id, body.reason)
