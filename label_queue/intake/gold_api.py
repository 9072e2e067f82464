"""The owner's API, version 1: gold made, edited, retired and brought back."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from label_queue.intake.bodies import body_of, body_schema
from label_queue.intake.identity import Overseer, Owner, owner_of
from label_queue.intake.owner_schemas import EditedGold, NewGold, Reason, WrittenGold, as_prompt
from label_queue.intake.paging import Limit, Offset
from label_queue.intake.refusals import refusals
from label_queue.oversight.gold import GoldEdit
from label_queue.oversight.gold_rows import AgreementPage, GoldPage, GoldRow
from label_queue.quality.gold_tasks import GoldTask

router = APIRouter(prefix="/api/v1/owner/gold", tags=["owner"])
READ = refusals(401, 403, 422, 429, 503)
WRITE = refusals(401, 403, 404, 408, 409, 413, 415, 422, 429, 503, 507)


@router.get("", responses=READ)
async def gold(
    request: Request,
    overseer: Overseer,
    offset: Offset = 0,
    limit: Limit = 20,
    asked: bool | None = None,
) -> GoldPage:
    """Return a stretch of the gold, newest first: all, or what is asked, or what is retired."""
    return await owner_of(request).gold(offset=offset, limit=limit, is_asked=asked)


@router.get("/agreements", responses=READ)
async def agreements(
    request: Request, overseer: Overseer, offset: Offset = 0, limit: Limit = 20
) -> AgreementPage:
    """Return a stretch of the past queries on which people agree, which could be made gold."""
    return await owner_of(request).agreements(offset=offset, limit=limit)


@router.post("", openapi_extra=body_schema(NewGold), responses=WRITE)
async def make_gold(
    request: Request, owner: Owner, body: Annotated[NewGold, Depends(body_of(NewGold))]
) -> GoldRow:
    """Ask a past query as gold from now on, its right answer being known."""
    return await owner_of(request).make_gold(body.query_id, body.choice, actor=owner.labeler_id)


@router.post("/written", openapi_extra=body_schema(WrittenGold), responses=WRITE)
async def write_gold(
    request: Request, owner: Owner, body: Annotated[WrittenGold, Depends(body_of(WrittenGold))]
) -> GoldRow:
    """Ask a query written by hand as gold from now on."""
    task = GoldTask.model_construct(
        prompt=as_prompt(body.prompt),
        candidates=body.candidates,
        answer=body.answer,
        language=body.language,
        node=None if body.node is None else body.node.as_node(),
    )
    return await owner_of(request).write_gold(task, actor=owner.labeler_id)


@router.post("/{gold_id}/edit", openapi_extra=body_schema(EditedGold), responses=WRITE)
async def edit_gold(
    request: Request,
    owner: Owner,
    gold_id: str,
    body: Annotated[EditedGold, Depends(body_of(EditedGold))],
) -> GoldRow:
    """Ask another version from now on, and retire the one before."""
    edit = GoldEdit(
        answer=body.answer,
        prompt=None if body.prompt is None else as_prompt(body.prompt),
        candidates=body.candidates,
    )
    return await owner_of(request).edit_gold(gold_id, edit, body.reason, actor=owner.labeler_id)


@router.post("/{gold_id}/retire", openapi_extra=body_schema(Reason), responses=WRITE)
async def retire_gold(
    request: Request,
    owner: Owner,
    gold_id: str,
    body: Annotated[Reason, Depends(body_of(Reason))],
) -> GoldRow:
    """Ask gold of nobody from now on; answers that come later judge nobody."""
    return await owner_of(request).retire_gold(gold_id, body.reason, actor=owner.labeler_id)


@router.post("/{gold_id}/bring_back", openapi_extra=body_schema(Reason), responses=WRITE)
async def bring_back_gold(
    request: Request,
    owner: Owner,
    gold_id: str,
    body: Annotated[Reason, Depends(body_of(Reason))],
) -> GoldRow:
    """Ask retired gold again from now on; a version that took its place is retired."""
    return await owner_of(request).bring_back_gold(gold_id, body.reason, actor=owner.labeler_id)
