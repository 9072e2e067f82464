"""Which way a request goes: to the run whose path it has, or nowhere; and the list of runs."""

from __future__ import annotations

import secrets
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from cluster.front.forwarding import Forwarder, NoAnswer
from cluster.front.places import Place, Places
from label_queue.intake.public_address import Site
from label_queue.intake.schemas import ErrorAnswer
from protocol.errors import BodyTooSlow, Misdirected, QueueClosed, ResourceError

TEMPLATE = "runs.html"
RETRY_AFTER_S = 2
API = "/api/"
NOT_KNOWN = "it is not known whether this was stored: send it again, a label counts once"

_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


class Front:
    """ASGI application before the labelling faces of several runs.

    Args:
        places: Which runs are there.
        forwarder: Passes requests on to them.
        is_wide: Whether others than this machine come without a proxy.
        lists_to_all: Whether others than this machine are shown the list of runs.
    """

    def __init__(
        self, places: Places, forwarder: Forwarder, *, is_wide: bool, lists_to_all: bool
    ) -> None:
        self._places = places
        self._forwarder = forwarder
        self._is_wide = is_wide
        self._lists_to_all = lists_to_all

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or have a run answer it."""
        if scope["path"] == "/":
            await (await self._index(Request(scope)))(scope, receive, send)
            return
        place = (await self._places.now()).at(scope["path"])
        if place is None:
            # Nothing that a page would take for the word of a run.
            nothing = PlainTextResponse("There is no run at this path.\n", status_code=404)
            await nothing(scope, receive, send)
        elif place.face is None:
            error = QueueClosed if place.state == "finished" else ResourceError
            await _unavailable(place, place.why_not, error, scope)(scope, receive, send)
        else:
            await self._forward(place, place.face, scope, receive, send)

    async def _forward(
        self, place: Place, face: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        try:
            await self._forwarder.forward(face, scope, receive, send)
        except ResourceError as error:
            await _unavailable(place, str(error), ResourceError, scope)(scope, receive, send)
        except NoAnswer as error:
            unknown = _unavailable(place, str(error), ResourceError, scope, stored=NOT_KNOWN)
            await unknown(scope, receive, send)
        except BodyTooSlow as error:
            answer = ErrorAnswer(error=BodyTooSlow.__name__, message=error.message)
            late = JSONResponse(
                answer.model_dump(), BodyTooSlow.status, headers={"Connection": "close"}
            )
            await late(scope, receive, send)

    async def _index(self, request: Request) -> Response:
        """Return the list of runs, to whom it is shown."""
        is_of_this_machine = self._is_of_this_machine(request)
        if not (self._lists_to_all or is_of_this_machine):
            return PlainTextResponse("There is nothing at this path.\n", status_code=404)
        sight = await self._places.now()
        nonce = secrets.token_urlsafe(16)
        page = _templates.get_template(TEMPLATE).render(
            nonce=nonce, sight=sight, tells_all=is_of_this_machine
        )
        policy = (
            f"default-src 'none'; style-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'"
        )
        return HTMLResponse(
            page,
            headers={
                "Content-Security-Policy": policy,
                "X-Content-Type-Options": "nosniff",
                "Referrer-Policy": "no-referrer",
                "Cache-Control": "no-store",
            },
        )

    def _is_of_this_machine(self, request: Request) -> bool:
        peer = None if request.client is None else request.client.host
        try:
            Site().arrival(request.headers, peer, is_wide=self._is_wide)
        except Misdirected:
            return False
        return True


def _unavailable(
    place: Place,
    words: str,
    error: type[Exception],
    scope: Scope,
    *,
    stored: str = "nothing was stored",
) -> Response:
    """Return a refusal: to programs in the form of the run's own, to people as plain text.

    Args:
        place: The run.
        words: What is said of it, e.g. "is starting".
        error: By its name a page knows whether the run may come back.
        scope: The request's.
        stored: What became of what was sent.
    """
    message = f"{place.name} {words}: {stored}"
    headers = {"Retry-After": str(RETRY_AFTER_S), "Cache-Control": "no-store"}
    if scope["path"].startswith(f"{place.path}{API}"):
        answer = ErrorAnswer(error=error.__name__, message=message)
        return JSONResponse(answer.model_dump(), 503, headers=headers)
    return PlainTextResponse(f"{message}\n", 503, headers=headers)
