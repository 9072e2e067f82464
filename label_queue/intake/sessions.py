"""Opening a session in a browser, by whatever somebody came in."""

from __future__ import annotations

import math
from typing import Any

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from label_queue.config import IntakeConfig
from label_queue.intake.front_door import arrival_of
from label_queue.intake.identity import OVERSEERS, people_of, site_of
from label_queue.intake.rendering import root_of


async def open_session(request: Request, session: str, page: str = "") -> Response:
    """Give the browser a session's token, and send it to a page of ours.

    Args:
        request: Whoever comes in.
        session: The token.
        page: Path of the page; "": where the person's role belongs.
    """
    identity = await people_of(request).authenticate(session)
    home = "/owner" if identity.role in OVERSEERS else "/"
    answer = RedirectResponse(root_of(request) + (page or home), status_code=303)
    limits: IntakeConfig = request.app.state.limits
    max_age = math.ceil(limits.session_max_age_s)
    answer.set_cookie(max_age=max_age, **session_cookie(request), value=session)
    answer.headers["Cache-Control"] = "no-store"
    return answer


def session_cookie(request: Request) -> dict[str, Any]:
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
