"""One line of a file of answers: an answer, a deletion, or a line that says nothing to us.

    {"id": "17", "labeler": "ann", "query_id": "0199…", "outcome": "choice", "choice": "b"}
    {"id": "17", "deleted": true}

`id` names an answer that may be changed or deleted by a later line; without it a line stands for
itself. `updated_at` (ISO 8601) decides which line of one `id` is newer; without it the later line.
Responses are named by the letters of the task lines.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
)

from label_queue.connectors.moments import moment
from label_queue.connectors.port import Annotation, Answer, Deletion, Unreadable
from label_queue.connectors.rows import BOM, parse_object, problem_of
from protocol.labels import Outcome
from protocol.names import LONGEST_IDENTIFIER, is_identifier


def _check_id(text: str) -> str:
    if not is_identifier(text):
        raise ValueError("no id can have a NUL or half a surrogate pair in it")
    return text


Id = Annotated[str, Field(min_length=1, max_length=LONGEST_IDENTIFIER), AfterValidator(_check_id)]
Letter = Annotated[str, Field(min_length=1, max_length=1)]


class Line(BaseModel):
    """What all lines share: nothing unknown, nothing coerced."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class DeletionLine(Line):
    """An answer is taken back."""

    id: Id
    deleted: Literal[True]


class AnswerLine(Line):
    """An answer, or a change of one."""

    id: Id | None = None
    updated_at: str | None = None
    labeler: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@:+-]{0,39}$")]
    query_id: Id
    outcome: Outcome
    choice: Letter | None = None
    ranking: tuple[Letter, ...] | None = None
    strength: Annotated[int, Field(ge=1, le=4)] | None = None
    spans: tuple[tuple[Letter, int, int, Literal["good", "bad"]], ...] = ()
    comment: str | None = None
    submitted_at: float | None = None
    active_ms: int | None = None
    deleted: Literal[False] = False

    @field_validator("updated_at")
    @classmethod
    def _is_a_time(cls, text: str | None) -> str | None:
        return None if text is None else moment(text)


def content_of(line: bytes) -> bytes:
    """Return a line without what says nothing: white space around it, a byte order mark."""
    return line.strip().removeprefix(BOM).strip()


def read_line(line: bytes, part: str) -> Annotation | Deletion | Unreadable:
    """Return what a line says. Of a line that cannot be read, the fault is named.

    Args:
        line: As it stands there.
        part: As `Annotation.part`.
    """
    raw = content_of(line)
    digest = hashlib.sha256(raw).hexdigest()
    try:
        if parse_object(raw).get("deleted") is True:
            name = DeletionLine.model_validate_json(raw).id
            return Deletion(external_id=name, payload_sha256=digest, part=part)
        return _annotation(AnswerLine.model_validate_json(raw), digest, part)
    except ValidationError as error:
        field, message = problem_of(error)
    except ValueError as error:
        field, message = "", str(error)
    return unreadable_line(raw, digest, field, message, part)


def unreadable_line(
    raw: bytes, digest: str, field: str, message: str, part: str | None = None
) -> Unreadable:
    """Return a line that says nothing to us, known by its digest; `part` as an `Annotation`'s."""
    return Unreadable(
        external_id=f"line-{digest[:16]}",
        payload_sha256=digest,
        field=field,
        message=message,
        payload=raw.decode(errors="replace"),
        part=part,
    )


def _annotation(said: AnswerLine, digest: str, part: str) -> Annotation:
    return Annotation(
        external_id=said.id or f"line-{digest[:16]}",
        updated_at=said.updated_at or "",
        payload_sha256=digest,
        user=said.labeler,
        query_id=said.query_id,
        answer=Answer(
            outcome=said.outcome,
            choice=said.choice,
            ranking=said.ranking,
            strength=said.strength,
            spans=said.spans,
            comment=said.comment,
        ),
        submitted_at=said.submitted_at,
        active_ms=said.active_ms,
        part=part,
    )
