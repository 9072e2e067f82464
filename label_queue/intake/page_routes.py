"""The two pages for people, and how a browser comes in and leaves."""

from __future__ import annotations

import math
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from label_queue.config import IntakeConfig
from label_queue.folds.access import Identity
from label_queue.intake.durations import in_words
from label_queue.intake.front_door import arrival_of
from label_queue.intake.guidelines import render_guidelines
from label_queue.intake.identity import (
    OVERSEERS,
    check_origin,
    csrf_token,
    identify,
    people_of,
    session_of,
    site_of,
)
from label_queue.intake.rendering import render, root_of
from protocol.errors import Unauthenticated

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@router.get("/")
async def labelling_page(request: Request) -> Response:
    """Return the page on which people compare responses; send observers to theirs."""
    identity = await _identity_of_session(request)
    if identity is None:
        return _signed_out(request)
    if identity.role == "observer":
        return RedirectResponse(root_of(request) + "/owner", status_code=303)
    me = await people_of(request).me(identity.labeler_id)
    return render(
        "label.html",
        root=root_of(request),
        guidelines=render_guidelines(me.guidelines),
        **await _frame(request, identity),
    )


@router.get("/owner")
async def owner_page(request: Request) -> HTMLResponse:
    """Return the page on which owners oversee the labelling, and observers see it."""
    identity = await _identity_of_session(request)
    if identity is None:
        return _signed_out(request)
    if identity.role not in OVERSEERS:
        return render(
            "message.html",
            root=root_of(request),
            status=403,
            heading="For the run's owner",
            message="You are signed in as a labeler, and this page is the owner's.",
        )
    return render(
        "owner.html",
        root=root_of(request),
        links_at=site_of(request).base_of_links(arrival_of(request)),
        **await _frame(request, identity),
    )


@router.get("/enter/{code}")
async def entrance(request: Request, code: str) -> HTMLResponse:
    """Return a page with one button: what only looks at a link must not use it up."""
    # With no-referrer a browser sends `Origin: null` with a form; nothing leaves this origin.
    limits: IntakeConfig = request.app.state.limits
    return render(
        "enter.html",
        root=root_of(request),
        referrer_policy="same-origin",
        unused=in_words(limits.session_ttl_s),
        at_most=in_words(limits.session_max_age_s),
    )


@router.post("/enter/{code}")
async def enter(request: Request, code: str) -> Response:
    """Use up a one-time link and open a session."""
    check_origin(request)
    people = people_of(request)
    try:
        session = await people.open_link(code)
    except Unauthenticated:
        return render(
            "message.html",
            root=root_of(request),
            status=401,
            heading="This link no longer works",
            message="A link opens the page once. Ask the run's owner for a new one.",
        )
    identity = await people.authenticate(session)
    page = "/owner" if identity.role in OVERSEERS else "/"
    answer = RedirectResponse(root_of(request) + page, status_code=303)
    limits: IntakeConfig = request.app.state.limits
    answer.set_cookie(
        max_age=math.ceil(limits.session_max_age_s), **_cookie(request), value=session
    )
    answer.headers["Cache-Control"] = "no-store"
    return answer


@router.post("/leave")
async def leave(request: Request, identity: Annotated[Identity, Depends(identify)]) -> Response:
    """End the session."""
    session = session_of(request)
    if session is not None:
        await people_of(request).leave(session)
    answer = Response(status_code=204)
    answer.delete_cookie(**_cookie(request))
    return answer


@router.get("/docs")
async def api_page(request: Request) -> HTMLResponse:
    """Return the API as a page of our own."""
    operations = [
        {
            "method": method.upper(),
            "path": path,
            "summary": operation.get("description", operation["summary"]),
            "body": _body_name(operation),
            "answers": sorted(operation["responses"]),
        }
        for path, methods in request.app.openapi()["paths"].items()
        for method, operation in methods.items()
    ]
    return render("api.html", root=root_of(request), operations=operations)


def _body_name(operation: dict[str, Any]) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    references = {kind["schema"]["$ref"].rsplit("/", 1)[-1] for kind in content.values()}
    return ", ".join(sorted(references))


def _cookie(request: Request) -> dict[str, Any]:
    """Return by what the session's cookie is known, and who may read it.

    Lax, not strict: who follows a link to the page from a chat or a mail is signed in there.
    """
    arrival = arrival_of(request)
    return {
        "key": site_of(request).session_cookie,
        "path": arrival.cookie_path,
        "secure": arrival.scheme == "https",
        "httponly": True,
        "samesite": "lax",
    }


async def _identity_of_session(request: Request) -> Identity | None:
    session = session_of(request)
    if session is None:
        return None
    try:
        return await people_of(request).authenticate(session)
    except Unauthenticated:
        return None


def _signed_out(request: Request) -> HTMLResponse:
    return render(
        "message.html",
        root=root_of(request),
        status=401,
        heading="You are not signed in",
        message="Open the one-time link that the run's owner gave you. "
        "If you used it before, ask for a new one.",
    )


async def _frame(request: Request, identity: Identity) -> dict[str, Any]:
    """Return what both pages show around their content."""
    run = await people_of(request).run_info()
    return {
        "run_id": run.run_id,
        "kind": run.kind,
        "labeler_id": identity.labeler_id,
        "role": identity.role,
        "csrf": csrf_token(request.cookies[site_of(request).session_cookie]),
    }
