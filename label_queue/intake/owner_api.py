"""The owner's API, version 1: overview, whose labels count, the cord. Labelers get 403 here.

Its bodies are in `owner_schemas`; people and gold are in `people_api` and `gold_api`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import StreamingResponse

from label_queue.config import IntakeConfig
from label_queue.intake.bodies import body_of, body_schema
from label_queue.intake.identity import (
    Overseer,
    Owner,
    bearer,
    identify,
    owner_of,
    require_overseer,
)
from label_queue.intake.overview_stream import overview_events
from label_queue.intake.owner_schemas import Exclude, Reason, Release, Rollback, Undo
from label_queue.intake.paging import Limit, Offset
from label_queue.intake.refusals import refusals
from label_queue.oversight.exclusion import Act, ExclusionPreview
from label_queue.oversight.given_answers import AgreementMatrix, AnswerPage
from label_queue.oversight.overview import Overview
from protocol.cord import CordState
from protocol.errors import LabelError, TooFast
from protocol.limits import LARGEST_STORED

router = APIRouter(prefix="/api/v1/owner", tags=["owner"])
READ = refusals(401, 403, 429, 503)
WRITE = refusals(401, 403, 404, 408, 409, 413, 415, 422, 429, 503, 507)


@router.get("/overview", responses=READ)
async def overview(request: Request, overseer: Overseer) -> Overview:
    """Return all that the owner's page shows."""
    return await owner_of(request).overview()


async def place_of_stream(request: Request, overseer: Overseer) -> AsyncIterator[None]:
    """Count a stream from before it asks for anything until its answer is over, however it ends.

    Raises TooFast for one too many.
    """
    limits: IntakeConfig = request.app.state.limits
    open_streams: Counter[str] = request.app.state.open_streams
    if open_streams[overseer.labeler_id] >= limits.max_streams:
        raise TooFast(f"{limits.max_streams} pages of yours are open: close one of them", 5)
    open_streams[overseer.labeler_id] += 1
    try:
        yield
    finally:
        open_streams[overseer.labeler_id] -= 1


@router.get(
    "/stream",
    dependencies=[Depends(place_of_stream)],
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}, **READ},
)
async def stream(request: Request, overseer: Overseer) -> StreamingResponse:
    """Send the overview as server-sent `overview` events, now and at each change.

    Ends when the client leaves, when its token is revoked (with an `ended` event) or with the run.
    """
    owner_side = owner_of(request)
    first = await owner_side.overview()

    async def is_welcome() -> bool:
        try:
            await require_overseer(await identify(request, await bearer(request)))
        except LabelError:
            return False
        return True

    return StreamingResponse(
        overview_events(owner_side, first, is_welcome),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@router.get("/labelers/agreement", responses=refusals(401, 403, 422, 429, 503))
async def agreement(
    request: Request, overseer: Overseer, offset: Offset = 0, limit: Limit = 20
) -> AgreementMatrix:
    """Return a stretch of the rows of the matrix that says who agrees with whom."""
    return await owner_of(request).agreement(offset=offset, limit=limit)


@router.get("/labelers/{labeler_id}/answers", responses=refusals(401, 403, 404, 422, 429, 503))
async def answers_of(
    request: Request,
    overseer: Overseer,
    labeler_id: str,
    offset: Offset = 0,
    limit: Limit = 20,
    disputed: bool = False,
) -> AnswerPage:
    """Return a stretch of somebody's answers, newest first: all, or where people differ."""
    return await owner_of(request).answers_of(
        labeler_id, offset=offset, limit=limit, only_disputed=disputed
    )


@router.get("/labelers/{labeler_id}/exclusion", responses=refusals(401, 403, 404, 422, 429, 503))
async def preview_exclusion(
    request: Request,
    overseer: Overseer,
    labeler_id: str,
    from_seq: Annotated[int, Query(ge=0, le=LARGEST_STORED)] = 0,
    act: Act = "exclude",
) -> ExclusionPreview:
    """Say what excluding somebody would change, or what reinstating them would bring back."""
    return await owner_of(request).preview_exclusion(labeler_id, from_seq, act)


@router.post("/labelers/{labeler_id}/exclude", openapi_extra=body_schema(Exclude), responses=WRITE)
async def exclude(
    request: Request,
    owner: Owner,
    labeler_id: str,
    body: Annotated[Exclude, Depends(body_of(Exclude))],
) -> ExclusionPreview:
    """Leave somebody's labels out of every fit from now on."""
    return await owner_of(request).exclude(
        labeler_id, body.from_seq, body.reason, actor=owner.labeler_id
    )


@router.post("/labelers/{labeler_id}/reinstate", openapi_extra=body_schema(Reason), responses=WRITE)
async def reinstate(
    request: Request,
    owner: Owner,
    labeler_id: str,
    body: Annotated[Reason, Depends(body_of(Reason))],
) -> ExclusionPreview:
    """Lift an exclusion, a suspension or a question."""
    return await owner_of(request).reinstate(labeler_id, body.reason, actor=owner.labeler_id)


@router.post("/labelers/{labeler_id}/undo", openapi_extra=body_schema(Undo), responses=WRITE)
async def undo(
    request: Request,
    owner: Owner,
    labeler_id: str,
    body: Annotated[Undo, Depends(body_of(Undo))],
) -> ExclusionPreview:
    """Take the newest exclusion or reinstatement of somebody back, as if it had not been."""
    return await owner_of(request).undo(
        labeler_id, body.act_id, body.reason, actor=owner.labeler_id
    )


@router.post("/cord/pull", openapi_extra=body_schema(Reason), responses=WRITE)
async def pull(
    request: Request, owner: Owner, body: Annotated[Reason, Depends(body_of(Reason))]
) -> CordState:
    """Stop the line; the learner pauses before its next step."""
    return await owner_of(request).pull_cord(body.reason, actor=owner.labeler_id)


@router.post("/cord/release", openapi_extra=body_schema(Release), responses=WRITE)
async def release(
    request: Request, owner: Owner, body: Annotated[Release, Depends(body_of(Release))]
) -> CordState:
    """Take one reason for the stop away; the line goes on when none is left."""
    queue = owner_of(request)
    named = body.pull_id
    if named is None:
        # Looked up before the call that releases: that one may come to the queue twice.
        cord = (await queue.overview()).cord
        if not cord.reasons:
            return cord
        named = cord.reasons[0].pull_id
    return await queue.release_cord(body.reason, named, actor=owner.labeler_id)


@router.post("/rollback", openapi_extra=body_schema(Rollback), responses=WRITE)
async def order_rollback(
    request: Request, owner: Owner, body: Annotated[Rollback, Depends(body_of(Rollback))]
) -> CordState:
    """Order the learner back to an earlier policy version; the cord stays pulled."""
    return await owner_of(request).order_rollback(
        body.to_version, body.reason, actor=owner.labeler_id
    )
