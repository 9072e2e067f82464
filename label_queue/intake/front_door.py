"""Before every route: how a request came is judged once, and what was not meant for us is refused.

Nothing is answered, and nobody is told, where who asked is gone before all of the request was here.

The application behind it works as if it stood where the browser is: its `root_path` is the prefix
of the public address, its scheme and `Host` are those of the page's origin.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from label_queue.intake.public_address import NOT_PUBLISHED, Arrival, Site
from label_queue.intake.refusals import refuse, refuse_route
from label_queue.intake.wide_face import WIDE
from protocol.errors import Misdirected

_ARRIVAL = "andon.arrival"
"""Where in a request's scope it is kept how it came."""


class FrontDoor:
    """ASGI middleware, the outermost.

    Args:
        app: The application.
        site: Where the run's pages are found.
    """

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self._app = app
        self._site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        peer = None if request.client is None else request.client.host
        try:
            arrival = self._site.arrival(request.headers, peer, is_wide=WIDE in scope)
            _move(scope, arrival)
        except Misdirected as error:
            await (await refuse(request, error))(scope, receive, send)
        except HTTPException as error:
            await (await refuse_route(request, error))(scope, receive, send)
        else:
            # A connection that breaks while a body comes is nobody's failure, and none of ours.
            with suppress(ClientDisconnect):
                await self._app(scope, receive, partial(_send_private, send))


async def _send_private(send: Send, message: Message) -> None:
    """Send an answer that nobody is to keep, or take for another type, unless it says otherwise."""
    if message["type"] == "http.response.start":
        headers = MutableHeaders(scope=message)
        headers.setdefault("Cache-Control", "no-store")
        headers.setdefault("X-Content-Type-Options", "nosniff")
    await send(message)


def arrival_of(request: Request) -> Arrival:
    """Return how a request came."""
    arrival: Arrival = request.scope[_ARRIVAL]
    return arrival


def _move(scope: Scope, arrival: Arrival) -> None:
    """Have a request look as it does where the browser is.

    In place: what answers for a failure, outside of this, must see the same. Raises HTTPException
    404 for what is not published.
    """
    others = [(name, value) for name, value in scope["headers"] if name != b"host"]
    path: str = scope["path"]
    scope.update(
        {
            "path": f"{path}/" if path == arrival.prefix else path,
            "root_path": arrival.prefix,
            "scheme": arrival.scheme,
            "headers": [(b"host", arrival.authority.encode("latin-1")), *others],
            _ARRIVAL: arrival,
        }
    )
    is_within = scope["path"].startswith(f"{arrival.prefix}/")
    below = scope["path"].removeprefix(arrival.prefix)
    if not is_within or (arrival.is_public and _is_private(below)):
        raise HTTPException(404)


def _is_private(path: str) -> bool:
    return any(path == private or path.startswith(f"{private}/") for private in NOT_PUBLISHED)
