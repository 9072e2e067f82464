"""Bodies that cannot be read are refused by what is wrong with them, before any field is."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

JSON = "application/json"


class ReadableBody(APIRoute):
    """A route that says why it could not read a body; FastAPI says of most that there was an error.

    Raises RequestValidationError, and HTTPException with 415 for a body that is compressed.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request."""
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def answer(request: Request) -> Response:
            _refuse_by_headers(request.headers)
            try:
                return await handle(request)
            except HTTPException as error:
                # What FastAPI's reading of the body raised, which it tells nobody.
                why = _why_unreadable(error.__cause__)
                if why is None:
                    raise
                raise _refusal("json_invalid", ("body",), why) from error

        return answer


def _refuse_by_headers(headers: Mapping[str, str]) -> None:
    encoding = headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        raise HTTPException(
            415, f"{encoding} is not undone here: send the body as it is, without Content-Encoding"
        )
    kind = headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != JSON and not (kind.startswith("application/") and kind.endswith("+json")):
        raise _refusal(
            "value_error",
            ("header", "content-type"),
            f"{kind or 'no type'} is not taken: send the header 'Content-Type: {JSON}'",
        )


def _why_unreadable(cause: BaseException | None) -> str | None:
    """Return what is wrong with a body whose reading raised this; None where that says nothing."""
    if isinstance(cause, UnicodeDecodeError):
        return f"not UTF-8 (byte {cause.start}): send it as UTF-8"
    if isinstance(cause, RecursionError):
        return "not JSON that can be read: too many levels"
    if isinstance(cause, ValueError):  # of Python's own limit, which is told in words of Python
        return "not JSON that can be read: a number has too many digits"
    return None


def _refusal(kind: str, place: tuple[str, ...], message: str) -> RequestValidationError:
    return RequestValidationError([{"type": kind, "loc": place, "msg": message}])
