"""Who sends a request: a bearer token, or a browser's session with its guard against forgery."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from label_queue.folds.access import Identity
from label_queue.intake.front_door import arrival_of
from label_queue.intake.public_address import Site
from label_queue.sides.owner import OwnerSide
from label_queue.sides.people import PeopleSide
from protocol.errors import Forbidden, Unauthenticated

CSRF_HEADER = "X-Andon-CSRF"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
OVERSEERS = frozenset({"owner", "observer"})
"""Roles that see the owner's page."""
OWN_FETCHES = frozenset({"same-origin", "none"})
"""What a browser says of a request that a page of ours made, or the user by hand."""
FROM_ELSEWHERE = "requests from other sites are refused: use the labelling page itself"

bearer = HTTPBearer(
    auto_error=False,
    description="One token a labeler, from the run's owner. A page uses its session's cookie.",
)


def people_of(request: Request) -> PeopleSide:
    """Return the people's side of the label queue behind the application."""
    people: PeopleSide = request.app.state.people
    return people


def owner_of(request: Request) -> OwnerSide:
    """Return the owner's side of it."""
    owner: OwnerSide = request.app.state.owner
    return owner


def site_of(request: Request) -> Site:
    """Return where the application is found."""
    site: Site = request.app.state.site
    return site


def session_of(request: Request) -> str | None:
    """Return the session's token that the browser sent, if it sent one."""
    return request.cookies.get(site_of(request).session_cookie)


def csrf_token(session: str) -> str:
    """Return what a page must send back with a session's unsafe requests.

    Only a page of ours can know it: it is rendered there, and the cookie cannot be read.
    """
    return hashlib.sha256(f"csrf:{session}".encode()).hexdigest()


def check_origin(request: Request, *, is_required: bool = False) -> None:
    """Raise Forbidden for a browser's request that another site made it send."""
    origin = request.headers.get("origin")
    if origin is None and not is_required:
        return
    if origin != arrival_of(request).origin:
        raise Forbidden(FROM_ELSEWHERE)


def check_fetch_site(request: Request) -> None:
    """Raise Forbidden for a request of another site's that only reads, by its cookie.

    Such a cookie is sent where a link is followed, which shall open pages, and not the API.
    """
    if request.headers.get("sec-fetch-site", "none") not in OWN_FETCHES:
        raise Forbidden(FROM_ELSEWHERE)


def _check_forgery(request: Request, session: str) -> None:
    check_origin(request, is_required=True)
    sent = request.headers.get(CSRF_HEADER, "")
    if not hmac.compare_digest(sent.encode(), csrf_token(session).encode()):
        raise Forbidden(f"the header {CSRF_HEADER} is not that of your sign-in: reload the page")


def sender_of(request: Request) -> str:
    """Return who sends a request that was identified."""
    identity: Identity = request.state.identity
    return identity.labeler_id


def is_identified(scope: Mapping[str, Any]) -> bool:
    """Say, by a request's scope, whether it was found who sent it."""
    return "identity" in scope.get("state", {})


async def identify(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> Identity:
    """Return who sends the request: its token alone decides.

    Raises Unauthenticated without a good one, and Forbidden for a request that another site, or a
    page which is not ours, made the browser send.
    """
    request.state.identity = await _identity_of(request, credentials)
    identity: Identity = request.state.identity
    return identity


async def _identity_of(
    request: Request, credentials: HTTPAuthorizationCredentials | None
) -> Identity:
    if credentials is not None:
        check_origin(request)
        return await people_of(request).authenticate(credentials.credentials)
    session = session_of(request)
    if session is None:
        raise Unauthenticated(
            "send the header 'Authorization: Bearer TOKEN', or open your one-time link"
        )
    identity = await people_of(request).authenticate(session)
    check_fetch_site(request)
    if request.method not in SAFE_METHODS:
        _check_forgery(request, session)
    return identity


async def refuse_changed(request: Request) -> None:
    """Raise where who sent a request may not send it any more, as when its body took its time.

    Raises as `identify` does, and Forbidden for who has another role than as it began, unless it is
    an owner's, who may do all that others may.
    """
    began: Identity = request.state.identity
    now = await identify(request, await bearer(request))
    if now.role not in (began.role, "owner"):
        raise Forbidden(
            f"your role was changed from {began.role} to {now.role} while this was on its way: "
            "reload the page, or ask the run's owner"
        )


async def identify_labeler(identity: Annotated[Identity, Depends(identify)]) -> str:
    """Return the id of who labels; an owner may label too. Raises Forbidden for an observer."""
    if identity.role == "observer":
        raise Forbidden("an observer sees and does not act: ask the run's owner to let you label")
    return identity.labeler_id


async def require_overseer(identity: Annotated[Identity, Depends(identify)]) -> Identity:
    """Return an owner or observer, or raise Forbidden."""
    if identity.role not in OVERSEERS:
        raise Forbidden("only the run's owners and observers see this: ask them")
    return identity


async def oversee(
    request: Request, identity: Annotated[Identity, Depends(require_overseer)]
) -> Identity:
    """Return an owner or observer, whose request is counted. Raises TooFast above the rate."""
    await people_of(request).count_request(identity.labeler_id)
    return identity


async def require_owner(
    request: Request, identity: Annotated[Identity, Depends(identify)]
) -> Identity:
    """Return an owner, whose request is counted. Raises Forbidden; TooFast above the rate."""
    if identity.role != "owner":
        raise Forbidden("only the run's owner may do this: ask them")
    await people_of(request).count_request(identity.labeler_id)
    return identity


Labeler = Annotated[str, Depends(identify_labeler)]
Owner = Annotated[Identity, Depends(require_owner)]
"""Who may do what only an owner may."""
Overseer = Annotated[Identity, Depends(oversee)]
"""Who may see what an observer may."""
