"""Our own form of a ledger: JSON Lines, a header and then one typed record a line.

    {"type":"header","format":"andon","schema_version":1,"run_id":"demo-1"}
    {"type":"query","record":{"query_id":"0199…", …}}
    {"type":"label_event","record":{"seq":1, …}}

It holds all that a ledger holds except what lets somebody in (tokens, links, sessions) and the
copies of refused bodies, which may quote such secrets.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from label_queue.exchange.line_file import NumberedLine
from label_queue.exchange.record_checks import CHECKS, Known
from label_queue.exchange.record_numbers import refuse_strange_numbers
from label_queue.ledger.event_lines import CORD_EVENT, LABEL_EVENT, CordEventLine, LabelEventLine
from label_queue.ledger.records import ConnectorOffset, Ledger, Record, stream_of
from protocol.cord import CordEvent
from protocol.errors import InputError
from protocol.fits import RewardVersion
from protocol.json_lines import line_of
from protocol.labels import Assignment, ComparisonQuery, LabelEvent, PolicyProvenance
from protocol.model_folder import ModelFolder
from protocol.names import is_run_id
from protocol.schema import newer_than_ours
from protocol.tokenizing import PolicyTokenizer

FORMAT = "andon"
SCHEMA_VERSION = 1
RECORD_TYPES: dict[str, Any] = {
    "query": ComparisonQuery,
    "assignment": Assignment,
    "label_event": LabelEvent,
    "cord_event": CordEvent,
    "reward_version": RewardVersion,
    "policy_version": PolicyProvenance,
    "connector_offset": ConnectorOffset,
}
"""What each type of line holds, in the order of the file: what is referred to comes first."""
READ_ORDER: tuple[str, ...] = tuple(reversed(RECORD_TYPES))
"""Order in which a ledger is read: a run may go on writing meanwhile, and what is referred to is
read last, so that it is never missing."""
RETIRED: Mapping[str, frozenset[str]] = {"query": frozenset({"learned_through", "learned_labels"})}
"""Fields that earlier exports carry and that say nothing any more: passed over."""
ADAPTERS: Mapping[str, TypeAdapter[Any]] = {
    name: TypeAdapter(kind) for name, kind in RECORD_TYPES.items()
} | {"label_event": LABEL_EVENT, "cord_event": CORD_EVENT}
WRITTEN_AS: Mapping[str, Any] = RECORD_TYPES | {
    "label_event": LabelEventLine,
    "cord_event": CordEventLine,
}
FIELDS: Mapping[str, frozenset[str]] = {
    name: frozenset(each.name for each in fields(kind)) for name, kind in WRITTEN_AS.items()
}
"""What each type of line may say, with what an export leaves out where it says nothing."""


def record_lines(ledger: Ledger) -> Iterator[bytes]:
    """Yield the lines of a ledger, without their ends.

    Raises:
        InputError: It has no query, and so nothing to hand on.
    """
    streams = {name: ledger.read(RECORD_TYPES[name]) for name in READ_ORDER}
    queries = ledger.queries()
    if not queries:
        raise InputError("this ledger holds no queries: there is nothing to export yet")
    header = {
        "type": "header",
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "run_id": queries[0].run_id,
    }
    yield json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    for name in RECORD_TYPES:
        for record in streams[name]:
            body = ADAPTERS[name].dump_json(record)
            yield b'{"type":"%s","record":%s}' % (name.encode(), body)


def is_header(line: Mapping[str, Any]) -> bool:
    """Say whether a file's first line says that it is of this form."""
    return line.get("type") == "header"


def read_records(
    path: Path,
    lines: Iterator[NumberedLine],
    tokenizer: PolicyTokenizer | None = None,
    model: ModelFolder | None = None,
) -> tuple[str, list[Record]]:
    """Return the run's id and all records of a file, every one checked.

    Args:
        path: Names the file in errors.
        lines: Its lines, the header first.
        tokenizer: The policy's, by which marks must lie on the words that people saw; None: that
            they are within what people saw is all that can be told.
        model: The policy, which must be able to read what it is trained on; None: any may.

    Raises:
        InputError: Anything in it is wrong; line and field are named.
        MissingError: There is no such file, said when its first line is asked for.
    """
    run_id = _read_header(path, next(lines, None))
    known = Known(tokenizer=tokenizer, model=model)
    records: list[Record] = []
    for number, line in lines:
        where = line_of(path, number)
        record = _read_record(line, where)
        check = CHECKS.get(stream_of(type(record)))
        if check is not None:
            check(record, known, run_id, where)
        records.append(record)
    if not known.queries:
        raise InputError(f"{path}: holds no queries; export the run anew")
    return run_id, records


def _read_header(path: Path, first: NumberedLine | None) -> str:
    if first is None:
        raise InputError(f"{path}: is empty; export the run anew")
    number, header = first
    where = line_of(path, number)
    if not is_header(header) or header.get("format") != FORMAT:
        raise InputError(f"{where}: format: want a header with format {FORMAT!r}")
    says = header.get("schema_version")
    if isinstance(says, int) and says > SCHEMA_VERSION:
        raise newer_than_ours(where, says, SCHEMA_VERSION)
    if says != SCHEMA_VERSION:
        raise InputError(f"{where}: schema_version: want {SCHEMA_VERSION}, got {says!r}")
    run_id = header.get("run_id")
    if not isinstance(run_id, str) or not is_run_id(run_id):
        raise InputError(f"{where}: run_id: want a run's id, got {run_id!r}")
    return run_id


def _read_record(line: Mapping[str, Any], where: str) -> Record:
    name = line.get("type")
    if not isinstance(name, str) or name not in ADAPTERS:
        raise InputError(f"{where}: type: {name!r} is none of {', '.join(ADAPTERS)}")
    for key in line:
        if key not in ("type", "record"):
            raise InputError(f"{where}: {key}: unknown; a line has type and record")
    adapter = ADAPTERS[name]
    given = line.get("record")
    if isinstance(given, Mapping):
        given = {key: given[key] for key in given if key not in RETIRED.get(name, ())}
    refuse_strange_numbers(given, where)
    try:
        record: Record = adapter.validate_json(json.dumps(given), strict=True)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, problem["loc"]))
        raise InputError(f"{where}: {place or 'record'}: {problem['msg']}") from error
    # What a dump leaves out of the fields is null or empty, and known all the same.
    known = dict.fromkeys(FIELDS[name], ()) | adapter.dump_python(record, mode="json")
    unknown = _unknown_field(given, known, "")
    if unknown is not None:
        raise InputError(f"{where}: {unknown}: no such field")
    return record


def _unknown_field(given: Any, known: Any, place: str) -> str | None:
    """Return the first field that was given and is not known, e.g. "source.colour"."""
    if isinstance(given, Mapping):
        for key, value in given.items():
            inner = f"{place}.{key}".lstrip(".")
            if key not in known:
                return inner
            found = _unknown_field(value, known[key], inner)
            if found is not None:
                return found
    elif isinstance(given, list):
        for i, (value, other) in enumerate(zip(given, known, strict=True)):
            found = _unknown_field(value, other, f"{place}.{i}".lstrip("."))
            if found is not None:
                return found
    return None
