"""Reads what was recorded of a run's crossings: each call with its answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from cluster.recordings.crossings import CROSSINGS, Crossing, StreamName
from cluster.recordings.recorder import ANSWERED, ASKED, FAILED
from cluster.recordings.segment_files import segment_files
from cluster.recordings.segments import StoredMessage, read_segment
from protocol.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One call that crossed, and what came of it."""

    crossing: Crossing[Any, Any]
    ask: Any
    """What the crossing asks."""
    answer: Any = None
    """What the crossing answers."""
    error: str | None = None
    """What was raised in place of an answer, its type first."""
    is_answered: bool = False
    """Whether an answer came; else there is an error, or the run ended first."""
    at: float
    """When it was answered, or else asked; Unix seconds."""
    place: str
    """Where in the recording the last of it lies."""


def read_exchanges(folder: Path, *streams: StreamName) -> Iterator[Exchange]:
    """Give all exchanges of some streams, in the order in which they were answered.

    Of several streams the first is given whole, then the next. A call whose beginning is in a
    segment that was dropped is left out; those that never got an answer come last.

    Args:
        folder: Of the segments.
        streams: Which.

    Raises:
        BundleCorrupt: A frame is not what was written; it is named.
        InputError: A message is of a newer schema, or none of these; it is named.
    """
    for stream in streams:
        waiting: dict[int, Exchange] = {}
        for file in segment_files(folder):
            if file.stream == stream:
                for message in read_segment(file.path):
                    yield from _pair(waiting, message)
        yield from waiting.values()


def _pair(waiting: dict[int, Exchange], message: StoredMessage) -> Iterator[Exchange]:
    """Keep what was asked until its answer comes; then give both."""
    name, _, word = message.topic.rpartition(".")
    crossing = CROSSINGS.get(name)
    if crossing is None or word not in (ASKED, ANSWERED, FAILED):
        raise InputError(f"{message.place} is of {message.topic!r}, which this Andon does not know")
    if message.version > crossing.version:
        raise InputError(
            f"{message.place} was recorded by a newer Andon ({message.topic} {message.version}; "
            f"this one reads up to {crossing.version}): replay it with the version that the run's "
            "run.json names as versions.andon"
        )
    if word == ASKED:
        ask = _read(crossing.asks, message)
        waiting[message.sequence] = Exchange(
            crossing=crossing, ask=ask, at=message.at, place=message.place
        )
        return
    asked = waiting.pop(message.sequence, None)
    if asked is None:
        return
    place, at = message.place, message.at
    if word == FAILED:
        yield replace(asked, error=_read(TypeAdapter(str), message), at=at, place=place)
    else:
        answer = _read(crossing.answers, message)
        yield replace(asked, answer=answer, is_answered=True, at=at, place=place)


def _read(kind: TypeAdapter[Any], message: StoredMessage) -> Any:
    try:
        return kind.validate_json(message.content)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        field = ".".join(map(str, problem["loc"]))
        raise InputError(
            f"{message.place} holds no {message.topic}: {field or 'content'}: {problem['msg']}"
        ) from error
