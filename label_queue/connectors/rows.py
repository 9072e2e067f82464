"""What comes from outside, row by row: read strictly, judged alone, kept where it is refused.

One row that is odd must not hold up those that follow, whatever its oddity is: so all that can be
wrong with it is found here or said as InvalidLabel, and what is kept of it can be written down.
"""

from __future__ import annotations

import codecs
import hashlib
import json
from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from label_queue.connectors.port import Unreadable
from protocol.errors import InvalidLabel

BOM = codecs.BOM_UTF8
"""What some programs put before a text, or before all that they append."""
MALFORMED = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
"""What reading a parsed body of any shape may raise."""
MAX_ID_CHARS = 128


B = TypeVar("B", bound=BaseModel)


def parse_object(raw: bytes) -> dict[str, Any]:
    """Return one JSON object in UTF-8.

    Raises ValueError, in one line, for anything else: another encoding, a key given twice, NaN, or
    more levels than can be read.
    """
    try:
        value = json.loads(
            raw.decode(), object_pairs_hook=_without_doubles, parse_constant=_refuse_constant
        )
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 (byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error.msg} at {error.pos})") from error
    except RecursionError as error:
        raise ValueError("not JSON that can be read (too many levels)") from error
    if not isinstance(value, dict):
        raise ValueError(f"want a JSON object, got {type(value).__name__}")
    return value


def _without_doubles(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{key!r} is given twice")
        found[key] = value
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def digest_of(said: object) -> str:
    """Return a digest of a parsed body, the same whatever the order of its keys."""
    return hashlib.sha256(as_payload(said).encode()).hexdigest()


def as_payload(said: object) -> str:
    """Return a parsed body as text, to be kept."""
    try:
        return json.dumps(said, sort_keys=True)
    except RecursionError:
        return "(too many levels to be kept)"


def tool_id(value: object) -> str:
    """Return an id of a tool's own as text, cut if no tool would give one so long."""
    return writable(as_payload(value) if not isinstance(value, str) else value, MAX_ID_CHARS)


def whole(value: Any) -> int:
    """Return a number of a tool's, which may come as text or with a point: 3, "3", 3.0.

    Raises one of `MALFORMED` for any other: cut off it would be another answer.
    """
    number = int(value)
    if isinstance(value, bool) or number != float(value):
        raise ValueError(f"{value!r} is no whole number")
    return number


def writable(text: str, limit: int) -> str:
    """Return a text's first characters, what no ledger can hold as escapes.

    That is half a surrogate pair, and a NUL, which PostgreSQL has no place for.
    """
    held = text[:limit].encode(errors="backslashreplace").decode()
    return held.replace("\0", "\\x00")[:limit]


def problem_of(error: ValidationError) -> tuple[str, str]:
    """Return the first field at fault, e.g. "spans.0", and what is wrong with it."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return ".".join(map(str, first["loc"])), first["msg"]


def rows_of(model: type[B], rows: Sequence[object]) -> tuple[list[B], list[Unreadable]]:
    """Return the rows of a page that are what they should be, and the others."""
    good, odd = [], []
    for row in rows:
        try:
            good.append(model.model_validate(row))
        except ValidationError as error:
            odd.append(_refused(f"row-{digest_of(row)[:16]}", row, error))
    return good, odd


def unreadable(tools_id: object, said: object, why: ValueError) -> Unreadable:
    """Return an answer that says nothing to us, known by the tool's own id.

    Args:
        tools_id: As it came.
        said: What is kept of it.
        why: ValidationError, InvalidLabel, or what reading the one moment in it raised.
    """
    return _refused(tool_id(tools_id), said, why)


def _refused(external_id: str, said: object, why: ValueError) -> Unreadable:
    if isinstance(why, ValidationError):
        field, message = problem_of(why)
    elif isinstance(why, InvalidLabel):
        field, message = why.field or "", why.message
    else:
        field, message = "updated_at", str(why)
    return Unreadable(
        external_id=external_id,
        payload_sha256=digest_of(said),
        field=field,
        message=message,
        payload=as_payload(said),
    )
