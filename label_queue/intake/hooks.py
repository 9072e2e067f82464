"""POST /hooks/{connector}: the doorbell of outside tools.

Bodies are passed on for their signature's sake, and are neither kept nor logged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from fastapi import APIRouter, Request
from pydantic import BaseModel

from label_queue.connector_config import Name
from label_queue.intake.bodies import read_unproved
from label_queue.intake.refusals import refusals

MAX_HOOK_BYTES = 1024 * 1024
"""Bytes of a webhook, at most: it quotes the task and its texts."""
PASSED_ON = ("webhook-", "x-andon-")
"""Beginnings of header names that may prove something; cookies and tokens are not among them."""

router = APIRouter(prefix="/hooks", tags=["webhooks"])


class Bell(Protocol):
    """What takes the webhooks: `label_queue.connectors.outposts.Outposts`, or its process."""

    async def knock(self, connector: str, headers: Mapping[str, str]) -> None:
        """Refuse a webhook before its body is read, where its headers alone show that it is none.

        Raises as `ring`.
        """
        ...

    async def ring(self, connector: str, headers: Mapping[str, str], body: bytes) -> bool:
        """Ask for a sweep; return False for a webhook that came before.

        Raises UnknownTask for an unknown connector, Unauthenticated for a webhook without proof.
        """
        ...


class HookAnswer(BaseModel):
    """The webhook was taken."""

    is_news: bool
    """Whether the webhook is new; False: it came before, and has no effect."""


@router.post("/{connector}", responses=refusals(401, 404, 408, 413, 415, 422, 503))
async def ring(connector: Name, request: Request) -> HookAnswer:
    """Ask for a sweep of an outside tool, which proves itself by signature or secret header."""
    headers = {
        name.lower(): value
        for name, value in request.headers.items()
        if name.lower().startswith(PASSED_ON)
    }
    bell: Bell = request.app.state.bell
    await bell.knock(connector, headers)
    body = await read_unproved(request, MAX_HOOK_BYTES, connector)
    return HookAnswer(is_news=await bell.ring(connector, headers, body))
