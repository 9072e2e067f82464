"""The owner's API, version 1: who may come in, by what, and in which role."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from label_queue.folds.people import PeoplePage, Person
from label_queue.intake.bodies import body_of, body_schema
from label_queue.intake.identity import Overseer, Owner, owner_of
from label_queue.intake.owner_schemas import NewLabeler, NewRole, Reason
from label_queue.intake.paging import Limit, Offset
from label_queue.intake.refusals import refusals
from label_queue.labeling.admissions import Admission
from label_queue.ledger.records import Role
from protocol.names import LONGEST_LABELER_ID

router = APIRouter(prefix="/api/v1/owner/labelers", tags=["owner"])
READ = refusals(401, 403, 422, 429, 503)
WRITE = refusals(401, 403, 404, 408, 409, 413, 415, 422, 429, 503, 507)


@router.get("", responses=READ)
async def people(
    request: Request,
    overseer: Overseer,
    offset: Offset = 0,
    limit: Limit = 20,
    search: Annotated[str, Query(max_length=LONGEST_LABELER_ID)] = "",
    role: Role | None = None,
) -> PeoplePage:
    """Return a stretch of the people ever let in, by name: those with `search` in it, in a role."""
    return await owner_of(request).people(offset=offset, limit=limit, search=search, role=role)


@router.post("", openapi_extra=body_schema(NewLabeler), responses=WRITE)
async def admit(
    request: Request, owner: Owner, body: Annotated[NewLabeler, Depends(body_of(NewLabeler))]
) -> Admission:
    """Give somebody a one-time link and a token; each request gives others."""
    return await owner_of(request).admit(
        body.labeler_id, body.role, judges=body.judges, actor=owner.labeler_id
    )


@router.post("/{labeler_id}/role", openapi_extra=body_schema(NewRole), responses=WRITE)
async def change_role(
    request: Request,
    owner: Owner,
    labeler_id: str,
    body: Annotated[NewRole, Depends(body_of(NewRole))],
) -> Person:
    """Give somebody another role, by whatever they come, from their next request on."""
    return await owner_of(request).change_role(
        labeler_id, body.role, body.reason, actor=owner.labeler_id
    )


@router.post(
    "/{labeler_id}/revoke",
    status_code=204,
    openapi_extra=body_schema(Reason),
    responses=WRITE,
)
async def revoke(
    request: Request,
    owner: Owner,
    labeler_id: str,
    body: Annotated[Reason, Depends(body_of(Reason))],
) -> Response:
    """Void all tokens, links and sessions of somebody. Their labels stay."""
    await owner_of(request).revoke(labeler_id, body.reason, actor=owner.labeler_id)
    return Response(status_code=204)


@router.post(
    "/{labeler_id}/tokens/{token_id}/revoke", openapi_extra=body_schema(Reason), responses=WRITE
)
async def revoke_token(
    request: Request,
    owner: Owner,
    labeler_id: str,
    token_id: str,
    body: Annotated[Reason, Depends(body_of(Reason))],
) -> Person:
    """Void one token, link or session of somebody."""
    return await owner_of(request).revoke_token(
        labeler_id, token_id, body.reason, actor=owner.labeler_id
    )
