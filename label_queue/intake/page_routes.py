"""The two pages for people, and how a browser comes in and leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from label_queue.config import IntakeConfig
from label_queue.folds.access import Identity
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
from label_queue.intake.languages import english
from label_queue.intake.rendering import render, render_notice, root_of
from label_queue.intake.sessions import open_session, session_cookie
from protocol.errors import Unauthenticated

if TYPE_CHECKING:  # of use to runs that have a provider, and half a second to import
    from label_queue.intake.sign_in.flow import SignIn

READ = ["GET", "HEAD"]
"""Methods of a page: what only looks whether a link is alive asks by HEAD."""

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@router.api_route("/", methods=READ)
async def labelling_page(request: Request) -> Response:
    """Return the page on which people compare responses; send observers to theirs."""
    identity = await _identity_of_session(request)
    if identity is None:
        return _signed_out(request)
    if identity.role == "observer":
        return RedirectResponse(root_of(request) + "/owner", status_code=303)
    me = await people_of(request).me(identity.labeler_id)
    limits: IntakeConfig = request.app.state.limits
    return render(
        request,
        "label.html",
        offers_marks=limits.marks,
        guidelines=render_guidelines(me.guidelines),
        **await _frame(request, identity),
    )


@router.api_route("/owner", methods=READ)
async def owner_page(request: Request) -> HTMLResponse:
    """Return the page on which owners oversee the labelling, and observers see it."""
    identity = await _identity_of_session(request)
    if identity is None:
        return _signed_out(request, "?next=/owner")
    if identity.role not in OVERSEERS:
        return render_notice(request, "owners.heading", "owners.text", status=403)
    return render(
        request,
        "owner.html",
        language=english(request),
        links_at=site_of(request).base_of_links(arrival_of(request)),
        **await _frame(request, identity),
    )


@router.api_route("/enter/{code}", methods=READ)
async def entrance(request: Request, code: str) -> HTMLResponse:
    """Return a page with one button: what only looks at a link must not use it up."""
    # With no-referrer a browser sends `Origin: null` with a form; nothing leaves this origin.
    limits: IntakeConfig = request.app.state.limits
    return render(
        request,
        "enter.html",
        referrer_policy="same-origin",
        unused_s=limits.session_ttl_s,
        at_most_s=limits.session_max_age_s,
    )


@router.post("/enter/{code}")
async def enter(request: Request, code: str) -> Response:
    """Use up a one-time link and open a session."""
    check_origin(request)
    people = people_of(request)
    try:
        session = await people.open_link(code)
    except Unauthenticated:
        return render_notice(request, "used_link.heading", "used_link.text", status=401)
    return await open_session(request, session)


@router.post("/leave")
async def leave(request: Request, identity: Annotated[Identity, Depends(identify)]) -> Response:
    """End the session."""
    session = session_of(request)
    if session is not None:
        await people_of(request).leave(session)
    answer = Response(status_code=204)
    answer.delete_cookie(**session_cookie(request))
    return answer


@router.api_route("/docs", methods=READ)
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
    return render(request, "api.html", language=english(request), operations=operations)


def _body_name(operation: dict[str, Any]) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    references = {kind["schema"]["$ref"].rsplit("/", 1)[-1] for kind in content.values()}
    return ", ".join(sorted(references))


async def _identity_of_session(request: Request) -> Identity | None:
    session = session_of(request)
    if session is None:
        return None
    try:
        return await people_of(request).authenticate(session)
    except Unauthenticated:
        return None


def _signed_out(request: Request, query: str = "") -> HTMLResponse:
    """Return what somebody is told who is not signed in.

    `query` is what a sign-in begins with: which page was asked for, if not the first one.
    """
    sign_in: SignIn | None = request.app.state.sign_in
    heading, text = "signed_out.heading", "signed_out.text"
    if sign_in is None:
        return render_notice(request, heading, text, status=401)
    return render_notice(
        request,
        heading,
        text,
        status=401,
        template="sign_in.html",
        sign_in_at=f"{sign_in.address}{query}",
        provider=sign_in.name,
    )


async def _frame(request: Request, identity: Identity) -> dict[str, Any]:
    """Return what both pages show around their content."""
    run = await people_of(request).run_info(identity.labeler_id)
    return {
        "run_id": run.run_id,
        "kind": run.kind,
        "labeler_id": identity.labeler_id,
        "role": identity.role,
        "prompt_language": request.app.state.prompt_language,
        "csrf": csrf_token(request.cookies[site_of(request).session_cookie]),
    }
