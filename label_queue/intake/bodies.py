"""Reading and refusing request bodies: size and time first, then syntax, then every field by name.

A body that comes slowly keeps one of the server's places from everybody: there is a time for it,
and nobody has many on their way at once. Of bodies by which nobody is known yet the oldest makes
way for the newest: one that is meant is there at once, and slow ones cannot keep it out.
"""

from __future__ import annotations

import asyncio
import codecs
import json
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from fastapi import Request
from pydantic import TypeAdapter, ValidationError

from label_queue.config import IntakeConfig
from label_queue.intake.identity import refuse_changed, sender_of
from label_queue.intake.schemas import Body
from label_queue.labeling.submissions import LabelSubmission
from protocol.errors import (
    BodyEncoded,
    BodyTooLarge,
    BodyTooSlow,
    Forbidden,
    InvalidLabel,
    TooFast,
)

JSON = "application/json"
SOON_S = 0.5
"""Who sends a body that is there by then, as any that is sent at once, is not asked again."""
SUBMISSION = TypeAdapter(LabelSubmission)
"""Reads a `LabelSubmission` from JSON."""

B = TypeVar("B", bound=Body)


class _NamedTwice(Exception):
    """A key comes twice in one JSON object. Argument: the key."""


async def read_limited(request: Request, limit: int, sender: str) -> bytes:
    """Return the whole body of somebody who may still send it once it is there.

    Who sends slowly would act for as long after they were let out.

    Args:
        request: Whose body was not read yet, and of whom it was found who sends it.
        limit: Bytes, at most.
        sender: Whose bodies are counted together.

    Raises:
        BodyEncoded: It is compressed.
        TooFast: The sender has very many on their way.
        Unauthenticated, Forbidden: They were revoked, or given another role, while it came.
        BodyTooLarge: At once where it is over `limit`.
        BodyTooSlow: It was not there in time.
        ClientDisconnect: Who sends it is gone.
    """
    limits: IntakeConfig = request.app.state.limits
    _refuse_encoded(request)
    began = time.monotonic()
    with _on_its_way(request.app.state.open_bodies, sender, limits.max_bodies):
        try:
            async with asyncio.timeout(limits.max_body_s):
                body = await _read(request, limit)
        except TimeoutError as error:
            raise _too_slow(limits) from error
    if time.monotonic() - began > SOON_S:
        await refuse_changed(request)
    return body


async def read_unproved(request: Request, limit: int, sender: str) -> bytes:
    """Return the whole body of whom it alone can prove.

    Args:
        request: Whose body was not read yet.
        limit: Bytes, at most.
        sender: Whose bodies are counted together.

    Raises:
        BodyEncoded: It is compressed.
        BodyTooLarge: At once where it is over `limit`.
        BodyTooSlow: It was not there in time, or not before many newer ones began.
        ClientDisconnect: Who sends it is gone.
    """
    limits: IntakeConfig = request.app.state.limits
    _refuse_encoded(request)
    on_their_way: dict[asyncio.Timeout, None]
    on_their_way = request.app.state.unproved_bodies.setdefault(sender, {})
    timeout = asyncio.timeout(limits.max_body_s)
    try:
        async with timeout:
            on_their_way[timeout] = None
            if len(on_their_way) > limits.max_hook_bodies:
                oldest = next(iter(on_their_way))
                del on_their_way[oldest]
                oldest.reschedule(asyncio.get_running_loop().time())
            return await _read(request, limit)
    except TimeoutError as error:
        if timeout in on_their_way:
            raise _too_slow(limits) from error
        raise BodyTooSlow(
            f"{limits.max_hook_bodies} newer bodies are on their way: send it again, whole"
        ) from error
    finally:
        on_their_way.pop(timeout, None)


def _too_slow(limits: IntakeConfig) -> BodyTooSlow:
    return BodyTooSlow(
        f"the body was not here within {limits.max_body_s:g} s: send it again, whole, or less at a "
        "time"
    )


def _refuse_encoded(request: Request) -> None:
    """Raise BodyEncoded for a body that is compressed."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise BodyEncoded(
            f"{encoding} is not undone here: send the body as it is, without Content-Encoding",
            "Content-Encoding",
        )


async def _read(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise BodyTooLarge(f"the body is over {limit} bytes: send less at a time")
    return bytes(body)


@contextmanager
def _on_its_way(open_bodies: Counter[str], sender: str, most: int) -> Iterator[None]:
    """Count a body while it comes in. Raises TooFast for one too many."""
    if open_bodies[sender] >= most:
        raise TooFast(f"{most} bodies of yours are on their way: finish some of them first", 1)
    open_bodies[sender] += 1
    try:
        yield
    finally:
        open_bodies[sender] -= 1
        if open_bodies[sender] == 0:
            del open_bodies[sender]


def content_type_of(request: Request) -> str:
    """Return the body's content type without its parameters, in lower case."""
    return request.headers.get("content-type", "").split(";")[0].strip().lower()


def body_schema(model: type, *content_types: str) -> dict[str, Any]:
    """Return the OpenAPI of a body that a route reads itself; JSON unless said otherwise."""
    schema = {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}
    content = dict.fromkeys(content_types or (JSON,), schema)
    return {"requestBody": {"required": True, "content": content}}


def body_of(model: type[B]) -> Callable[[Request], Coroutine[Any, Any, B]]:
    """Return a dependency that reads a JSON body up to the limit and checks its every field."""

    async def read(request: Request) -> B:
        limits: IntakeConfig = request.app.state.limits
        if content_type_of(request) != JSON:
            raise InvalidLabel(f"only {JSON} is taken here", "Content-Type")
        raw = await read_limited(request, limits.max_body_bytes, sender_of(request))
        return parse(raw, model)

    return read


def parse(raw: bytes, model: type[B]) -> B:
    """Return a body, or raise InvalidLabel (message, field) naming what is wrong with it."""
    raw = _as_utf8(raw)
    try:
        body = model.model_validate_json(raw)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(map(str, problem["loc"]))
        raise InvalidLabel(f"{field or 'body'}: {problem['msg']}", field) from error
    _refuse_named_twice(raw)
    return body


def parse_submission(raw: bytes, limit: int) -> LabelSubmission:
    """Return one label, or raise the error (message, field) that names what is wrong with it.

    BodyTooLarge over `limit` bytes; Forbidden for a `labeler_id`, since the token alone says who
    is labelling; InvalidLabel for all else.
    """
    if len(raw) > limit:
        raise BodyTooLarge(f"the label is over {limit} bytes: shorten its comment or spans")
    raw = _as_utf8(raw)
    try:
        submission = SUBMISSION.validate_json(raw)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        names = [".".join(map(str, problem["loc"])) for problem in problems]
        if "labeler_id" in names:
            raise Forbidden(
                "the token says who you are: leave labeler_id out", "labeler_id"
            ) from error
        raise InvalidLabel(f"{names[0] or 'body'}: {problems[0]['msg']}", names[0]) from error
    _refuse_named_twice(raw)
    return submission


def _refuse_named_twice(raw: bytes) -> None:
    """Raise InvalidLabel where an object names a key twice: which of the two is meant?

    Args:
        raw: JSON that was read, and so is not nested deeply. The reader takes the last of the two.
    """

    def check(pairs: list[tuple[str, object]]) -> None:
        seen = set()
        for key, _ in pairs:
            if key in seen:
                raise _NamedTwice(key)
            seen.add(key)

    try:
        # Numbers stay text: one that is replaced by its second may have any number of digits.
        json.loads(raw, object_pairs_hook=check, parse_int=str, parse_float=str)
    except _NamedTwice as error:
        [key] = error.args
        raise InvalidLabel(f"{key}: it is there twice: leave one of them out", key) from error


def _as_utf8(raw: bytes) -> bytes:
    """Return JSON without the byte order mark that may be before it.

    Raises InvalidLabel for any that is not UTF-8 but of two or four bytes a character, as files of
    some Windows programs are: its other problems would say nothing of that.
    """
    text = raw.removeprefix(codecs.BOM_UTF8)
    # The first character of JSON is ASCII, and never a NUL.
    if text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in text[:2]:
        raise InvalidLabel("body: it is UTF-16 or UTF-32: send it as UTF-8", "")
    return text


def split_lines(raw: bytes, max_labels: int) -> list[tuple[int, bytes]]:
    """Return the lines of an NDJSON body with their numbers, blank ones left out."""
    split = _as_utf8(raw).split(b"\n")
    lines = [(i, line) for i, line in enumerate(split) if line.strip()]
    if len(lines) > max_labels:
        raise BodyTooLarge(f"{len(lines)} labels in one batch, at most {max_labels}: split it")
    if not lines:
        raise InvalidLabel("the batch is empty: send one label a line", "")
    return lines
