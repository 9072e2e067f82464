"""How label events and cord events are written, in the ledger as in an export: one flat line each.

    {"seq":1,"event_id":"0199…:0","type":"submit","label_id":"0199…","revision":0, …}
    {"seq":2,"event_id":"0199…","type":"retire_gold","query_id":"8c1f…","actor":"olga", …}
    {"event_id":"0199…","action":"roll_back","actor":"owner","reason":"…","at":9.5,"to_version":3}

A line has every field of any type, but for who decided what, which stands in owners' events alone;
fields that an event has none of are blank. A line whose blanks are filled, or that lacks what its
type must say, is refused by the field's name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainSerializer, TypeAdapter, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from protocol.cord import CordEvent, Pulled, ReasonReleased, Released, RollbackOrdered, RolledBack
from protocol.labels import (
    ActUndone,
    Appointed,
    Excluded,
    GoldMade,
    GoldRetired,
    LabelEvent,
    Outcome,
    Reinstated,
    Retracted,
    Revised,
    Source,
    Submitted,
)
from protocol.schema import only

EVENT_SCHEMA = 1
"""Schema version of a label event's line; raised when an older reader could misread it."""
EventWord = Literal[
    "submit",
    "revise",
    "retract",
    "exclude",
    "reinstate",
    "undo_act",
    "appoint",
    "make_gold",
    "retire_gold",
]
IfSaid = Annotated[str | None, Field(exclude_if=lambda said: said is None)]
"""What owners' events alone say: written only where it is said, so labels' lines stay as short."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelEventLine:
    """A label event as it is written."""

    seq: int
    event_id: str
    type: EventWord
    label_id: str
    revision: int
    assignment_id: str
    query_id: str
    labeler_id: str
    outcome: Outcome | None
    choice: str | None
    ranking: tuple[str, ...] | None
    strength: int | None
    spans: tuple[tuple[str, int, int, str], ...] | None
    comment: str | None
    shown_at: float | None
    first_action_at: float | None
    submitted_at: float | None
    received_at: float
    active_ms: int | None
    source: Source
    reason: str | None = None
    from_seq: int | None = None
    schema_version: Annotated[int, AfterValidator(only(EVENT_SCHEMA))] = EVENT_SCHEMA
    actor: IfSaid = None
    replaces: IfSaid = None
    undoes: IfSaid = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CordEventLine:
    """A cord event as it is written."""

    event_id: str
    action: Literal["pull", "release", "release_one", "roll_back", "rolled_back"]
    """A release of one reason has a word of its own: who does not know that others are left cannot
    read it, instead of taking the line for running."""
    actor: str
    reason: str
    at: float
    to_version: int | None = None
    guard: str | None = None
    evidence: str | None = None
    pull_id: str | None = None


LABEL_TYPES: Mapping[str, type[Any]] = {
    "submit": Submitted,
    "revise": Revised,
    "retract": Retracted,
    "exclude": Excluded,
    "reinstate": Reinstated,
    "undo_act": ActUndone,
    "appoint": Appointed,
    "make_gold": GoldMade,
    "retire_gold": GoldRetired,
}
CORD_TYPES: Mapping[str, type[Any]] = {
    "pull": Pulled,
    "release": Released,
    "release_one": ReasonReleased,
    "roll_back": RollbackOrdered,
    "rolled_back": RolledBack,
}
TO_VERSION: Mapping[type[Any], str] = {
    Pulled: "offered_rollback",
    RollbackOrdered: "to_version",
    RolledBack: "restored_version",
}
"""The field whose value is written as to_version."""
_CORD_TEXTS: Mapping[str, tuple[type[Any], str | None]] = {
    "guard": (Pulled, ""),
    "evidence": (Pulled, ""),
    "pull_id": (ReasonReleased, None),
}
"""Text that one type alone has: its name, and what it is where the line says none."""
_NAMES: Mapping[type[Any], tuple[str, ...]] = {
    kind: tuple(each.name for each in fields(kind)) for kind in LABEL_TYPES.values()
}
_WORDS: Mapping[type[Any], str] = {
    kind: word for words in (LABEL_TYPES, CORD_TYPES) for word, kind in words.items()
}
_BLANK_TEXTS = ("label_id", "assignment_id", "query_id", "labeler_id")
_BLANKS: Mapping[str, Any] = {
    each.name: "" if each.name in _BLANK_TEXTS else {"revision": 0}.get(each.name)
    for each in fields(LabelEventLine)
    if each.name not in ("type", "schema_version")
}
"""What stands for a field that an event's type does not have."""


def label_line(event: LabelEvent) -> LabelEventLine:
    """Return a label event as it is written."""
    said = {name: getattr(event, name) for name in _NAMES[type(event)]}
    return LabelEventLine(type=_WORDS[type(event)], **{**_BLANKS, **said})  # type: ignore[arg-type]


def label_event(line: LabelEventLine) -> LabelEvent:
    """Return the event of a line.

    Raises ValidationError, naming the field, where the line says what its type has not, or not
    what it must say.
    """
    kind = LABEL_TYPES[line.type]
    names = _NAMES[kind]
    for name, blank in _BLANKS.items():
        value = getattr(line, name)
        if name not in names and value != blank:
            raise _refusal(
                name, value, f"want {json.dumps(blank)}: an event of type {line.type} has none"
            )
    if "outcome" in names and line.outcome is None:
        raise _refusal("outcome", None, f"an event of type {line.type} states one")
    if kind is ActUndone and line.undoes is None:
        raise _refusal("undoes", None, f"an event of type {line.type} names one")
    event: LabelEvent = kind(**{name: getattr(line, name) for name in names})
    return event


def cord_line(event: CordEvent) -> CordEventLine:
    """Return a cord event as it is written."""
    name = TO_VERSION.get(type(event))
    texts = {
        field: getattr(event, field) or None
        for field, (kind, _) in _CORD_TEXTS.items()
        if isinstance(event, kind)
    }
    return CordEventLine(
        event_id=event.event_id,
        action=_WORDS[type(event)],  # type: ignore[arg-type]
        actor=event.actor,
        reason=event.reason,
        at=event.at,
        to_version=None if name is None else getattr(event, name),
        **texts,
    )


def cord_event(line: CordEventLine) -> CordEvent:
    """Return the event of a line.

    Raises ValidationError, naming the field, where the line says what its action has not, or not
    what it must say.
    """
    kind = CORD_TYPES[line.action]
    name = TO_VERSION.get(kind)
    if name is None and line.to_version is not None:
        raise _refusal("to_version", line.to_version, f"an action of {line.action} has none")
    if kind in (RollbackOrdered, RolledBack) and line.to_version is None:
        raise _refusal("to_version", None, f"an action of {line.action} names one")
    own: dict[str, Any] = {} if name is None else {name: line.to_version}
    for field, (owner, blank) in _CORD_TEXTS.items():
        said = getattr(line, field)
        if owner is not kind and said is not None:
            raise _refusal(field, said, f"an action of {line.action} has none")
        if owner is kind:
            own[field] = blank if said is None else said
            if own[field] is None:
                raise _refusal(field, None, f"an action of {line.action} names one")
    event: CordEvent = kind(
        event_id=line.event_id, actor=line.actor, reason=line.reason, at=line.at, **own
    )
    return event


def _refusal(field: str, value: object, problem: str) -> ValidationError:
    detail = InitErrorDetails(
        type=PydanticCustomError("event_line", "{problem}", {"problem": problem}),
        loc=(field,),
        input=value,
    )
    return ValidationError.from_exception_data("event line", [detail])


LABEL_EVENT: TypeAdapter[Any] = TypeAdapter(
    Annotated[
        LabelEventLine,
        AfterValidator(label_event),
        PlainSerializer(label_line, return_type=LabelEventLine),
    ]
)
"""Reads and writes label events in JSON."""
CORD_EVENT: TypeAdapter[Any] = TypeAdapter(
    Annotated[
        CordEventLine,
        AfterValidator(cord_event),
        PlainSerializer(cord_line, return_type=CordEventLine),
    ]
)
"""Reads and writes cord events in JSON."""
