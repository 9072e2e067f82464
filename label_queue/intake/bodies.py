"""Reading and refusing request bodies: size first, then syntax, then every field by name."""

from __future__ import annotations

from collections.abc import AsyncIterator

from pydantic import ValidationError

from label_queue.intake.schemas import LabelSubmission
from protocol.errors import BodyTooLarge, Forbidden, InvalidLabel


async def read_limited(chunks: AsyncIterator[bytes], limit: int) -> bytes:
    """Return the whole body, or raise BodyTooLarge as soon as it is over `limit` bytes."""
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > limit:
            raise BodyTooLarge(f"the body is over {limit} bytes: send less at a time")
    return bytes(body)


def parse_submission(raw: bytes, limit: int) -> LabelSubmission:
    """Return one label, or raise the error (message, field) that names what is wrong with it.

    BodyTooLarge over `limit` bytes; Forbidden for a `labeler_id`, since the token alone says who
    is labelling; InvalidLabel for all else.
    """
    if len(raw) > limit:
        raise BodyTooLarge(f"the label is over {limit} bytes: shorten its comment or spans")
    try:
        return LabelSubmission.model_validate_json(raw)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        names = [".".join(map(str, problem["loc"])) for problem in problems]
        if "labeler_id" in names:
            raise Forbidden(
                "the token says who you are: leave labeler_id out", "labeler_id"
            ) from error
        raise InvalidLabel(f"{names[0] or 'body'}: {problems[0]['msg']}", names[0]) from error


def split_lines(raw: bytes, max_labels: int) -> list[tuple[int, bytes]]:
    """Return the lines of an NDJSON body with their numbers, blank ones left out."""
    lines = [(i, line) for i, line in enumerate(raw.split(b"\n")) if line.strip()]
    if len(lines) > max_labels:
        raise BodyTooLarge(f"{len(lines)} labels in one batch, at most {max_labels}: split it")
    if not lines:
        raise InvalidLabel("the batch is empty: send one label a line", "")
    return lines
