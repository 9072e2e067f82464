"""Reading and refusing request bodies: size first, then syntax, then every field by name."""

from __future__ import annotations

import codecs
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

from fastapi import Request
from pydantic import TypeAdapter, ValidationError

from label_queue.config import IntakeConfig
from label_queue.intake.schemas import Body
from label_queue.labeling.submissions import LabelSubmission
from protocol.errors import BodyTooLarge, Forbidden, InvalidLabel

JSON = "application/json"
SUBMISSION = TypeAdapter(LabelSubmission)
"""Reads a `LabelSubmission` from JSON."""

B = TypeVar("B", bound=Body)


async def read_limited(chunks: AsyncIterator[bytes], limit: int) -> bytes:
    """Return the whole body, or raise BodyTooLarge as soon as it is over `limit` bytes."""
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > limit:
            raise BodyTooLarge(f"the body is over {limit} bytes: send less at a time")
    return bytes(body)


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
        return parse(await read_limited(request.stream(), limits.max_body_bytes), model)

    return read


def parse(raw: bytes, model: type[B]) -> B:
    """Return a body, or raise InvalidLabel (message, field) naming what is wrong with it."""
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(map(str, problem["loc"]))
        raise InvalidLabel(f"{field or 'body'}: {problem['msg']}", field) from error


def parse_submission(raw: bytes, limit: int) -> LabelSubmission:
    """Return one label, or raise the error (message, field) that names what is wrong with it.

    BodyTooLarge over `limit` bytes; Forbidden for a `labeler_id`, since the token alone says who
    is labelling; InvalidLabel for all else.
    """
    if len(raw) > limit:
        raise BodyTooLarge(f"the label is over {limit} bytes: shorten its comment or spans")
    try:
        return SUBMISSION.validate_json(raw)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        names = [".".join(map(str, problem["loc"])) for problem in problems]
        if "labeler_id" in names:
            raise Forbidden(
                "the token says who you are: leave labeler_id out", "labeler_id"
            ) from error
        raise InvalidLabel(f"{names[0] or 'body'}: {problems[0]['msg']}", names[0]) from error


def split_lines(raw: bytes, max_labels: int) -> list[tuple[int, bytes]]:
    """Return the lines of an NDJSON body with their numbers, blank ones left out.

    A byte order mark before them is no part of the first.
    """
    split = raw.removeprefix(codecs.BOM_UTF8).split(b"\n")
    lines = [(i, line) for i, line in enumerate(split) if line.strip()]
    if len(lines) > max_labels:
        raise BodyTooLarge(f"{len(lines)} labels in one batch, at most {max_labels}: split it")
    if not lines:
        raise InvalidLabel("the batch is empty: send one label a line", "")
    return lines
