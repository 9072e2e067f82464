"""GET /sign-in and /sign-in/callback: to the provider and back, for a browser."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from label_queue.intake.failures import tell_of
from label_queue.intake.front_door import arrival_of
from label_queue.intake.identity import people_of
from label_queue.intake.rendering import render_notice
from label_queue.intake.sessions import open_session
from label_queue.intake.sign_in.attempt import ATTEMPT_S
from label_queue.intake.sign_in.flow import CALLBACK, PATH, SignIn
from protocol.errors import ConfigError, Forbidden, TransientError, Unauthenticated
from protocol.logs import logger_of

Trouble = Unauthenticated | Forbidden | TransientError | ConfigError

_log = logger_of("sign_in")

router = APIRouter(include_in_schema=False)


@router.get(PATH)
async def begin(request: Request) -> Response:
    """Send a browser to the provider, from the address to which that sends it back."""
    sign_in = _sign_in_of(request)
    if not arrival_of(request).is_public:
        query = f"?{request.url.query}" if request.url.query else ""
        return _to(f"{sign_in.address}{query}")
    try:
        begun = await sign_in.begin(request.query_params.get("next", ""))
    except (TransientError, ConfigError) as error:
        return await _told(request, sign_in, error)
    answer = _to(begun.url)
    answer.set_cookie(**_cookie(request, sign_in), max_age=ATTEMPT_S, value=begun.cookie)
    return answer


@router.get(CALLBACK)
async def finish(request: Request) -> Response:
    """Let in who comes back from the provider, or say why not; the attempt is over either way."""
    sign_in = _sign_in_of(request)
    try:
        finished = await sign_in.finish(request.query_params, request.cookies.get(sign_in.cookie))
        session = await people_of(request).sign_in(finished.outsider)
    except (Unauthenticated, Forbidden, TransientError, ConfigError) as error:
        answer = await _told(request, sign_in, error)
    else:
        answer = await open_session(request, session, finished.page)
    answer.delete_cookie(**_cookie(request, sign_in))
    return answer


def _sign_in_of(request: Request) -> SignIn:
    sign_in: SignIn = request.app.state.sign_in
    return sign_in


def _to(url: str) -> RedirectResponse:
    # No Referer: nobody else needs to know where the run is found.
    headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return RedirectResponse(url, status_code=303, headers=headers)


def _cookie(request: Request, sign_in: SignIn) -> dict[str, Any]:
    """Return by what the attempt's cookie is known, and who may read it.

    Lax: it must come along when the provider sends the browser back.
    """
    arrival = arrival_of(request)
    return {
        "key": sign_in.cookie,
        "path": f"{arrival.prefix}{PATH}",
        "secure": arrival.scheme == "https",
        "httponly": True,
        "samesite": "lax",
    }


async def _told(request: Request, sign_in: SignIn, error: Trouble) -> Response:
    """Return a page that says why somebody is not in, and what to do."""
    detail = ""
    if isinstance(error, Unauthenticated | Forbidden):
        _log.warning("sign-in refused", reason=error.message)
        status, heading, text = error.status, "signed_out.heading", "sign_in.refused"
        detail = f"{error.message[:1].upper()}{error.message[1:]}."
    elif isinstance(error, TransientError):
        await tell_of(request, error)
        status, heading, text = 503, "sign_in.silent.heading", "sign_in.silent.text"
    else:
        await tell_of(request, error)
        status, heading, text = 502, "sign_in.broken.heading", "sign_in.broken.text"
    return render_notice(
        request,
        heading,
        text,
        status=status,
        detail=detail,
        template="sign_in.html",
        sign_in_at=sign_in.address,
        provider=sign_in.name,
    )
