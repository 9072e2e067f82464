"""Our own form of a ledger: JSON Lines, a header and then one typed record a line.

    {"type":"header","format":"andon","schema_version":1,"run_id":"demo-1"}
    {"type":"query","record":{"query_id":"0199…", …}}
    {"type":"label_event","record":{"seq":1, …}}

It holds all that a ledger holds except what lets somebody in (tokens, links, sessions) and the
copies of refused bodies, which may quote such secrets.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError

from label_queue.exchange.line_file import NumberedLine
from label_queue.exchange.record_numbers import refuse_strange_numbers
from label_queue.folds.shown import is_shown_by
from label_queue.ledger.event_lines import CORD_EVENT, LABEL_EVENT
from label_queue.ledger.records import ConnectorOffset, Ledger, Record, stream_of
from label_queue.quality.gold_tasks import is_template
from label_queue.quality.preference import TRAINING
from protocol.cord import CordEvent
from protocol.distinct import first_alike
from protocol.errors import InputError
from protocol.fits import RewardVersion
from protocol.json_lines import line_of
from protocol.labels import (
    AnswerEvent,
    Assignment,
    Candidate,
    ComparisonQuery,
    GoldEvent,
    GoldMade,
    LabelChange,
    LabelEvent,
    Mark,
    PolicyProvenance,
)
from protocol.names import LONGEST_IDENTIFIER, can_be_key, is_identifier, is_labeler_id, is_run_id
from protocol.schema import newer_than_ours
from protocol.tokenizing import PolicyTokenizer

FORMAT = "andon"
SCHEMA_VERSION = 1
EXCERPT = 60
MOST_WANTED = 1_000_000
"""Answers that a query may ask for, as the config has it."""
"""Characters of a response that an error quotes."""
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


@dataclass(slots=True)
class _Known:
    """Ids seen so far, so that a reference into the void is named with its line."""

    queries: dict[str, ComparisonQuery] = field(default_factory=dict)
    assignments: dict[str, Assignment] = field(default_factory=dict)
    events: set[str] = field(default_factory=set)
    rewards: set[int] = field(default_factory=set)
    tokenizer: PolicyTokenizer | None = None
    """The policy's, where it is known."""


def read_records(
    path: Path, lines: Iterator[NumberedLine], tokenizer: PolicyTokenizer | None = None
) -> tuple[str, list[Record]]:
    """Return the run's id and all records of a file, every one checked.

    Args:
        path: Names the file in errors.
        lines: Its lines, the header first.
        tokenizer: The policy's, by which marks must lie on the words that people saw; None: that
            they are within what people saw is all that can be told.

    Raises:
        InputError: Anything in it is wrong; line and field are named.
        MissingError: There is no such file, said when its first line is asked for.
    """
    run_id = _read_header(path, next(lines, None))
    known = _Known(tokenizer=tokenizer)
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
    unknown = _unknown_field(given, adapter.dump_python(record, mode="json"), "")
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


def _check_query(query: ComparisonQuery, known: _Known, run_id: str, where: str) -> None:
    if query.run_id != run_id:
        raise InputError(f"{where}: run_id: is {query.run_id!r}, the header says {run_id!r}")
    _check_ids(where, query_id=query.query_id)
    for candidate in query.candidates:
        _check_ids(where, candidate_id=candidate.candidate_id)
    if query.query_id in known.queries:
        raise InputError(f"{where}: query_id: {query.query_id!r} comes twice")
    if not 0 < query.selection_probability <= 1:
        raise InputError(
            f"{where}: selection_probability: want more than 0 and at most 1, got "
            f"{query.selection_probability}"
        )
    if not 0 <= query.num_wanted <= MOST_WANTED:
        raise InputError(
            f"{where}: num_wanted: want a number of labelers, at most {MOST_WANTED}, got "
            f"{query.num_wanted}"
        )
    alike = first_alike(query.candidates)
    if alike is not None or len(query.candidates) < 2:
        problem = "are less than two" if alike is None else f"{alike[0]} and {alike[1]} are alike"
        raise InputError(
            f"{where}: candidates: {problem}, so that there is nothing to choose; leave the query "
            "and its labels out"
        )
    known.queries[query.query_id] = query


def _check_assignment(assignment: Assignment, known: _Known, run_id: str, where: str) -> None:
    query = known.queries.get(assignment.query_id)
    if query is None:
        raise InputError(f"{where}: query_id: no query {assignment.query_id!r} above")
    if sorted(assignment.shown_order) != sorted(c.candidate_id for c in query.candidates):
        raise InputError(f"{where}: shown_order: want each candidate of the query once")
    _check_ids(where, assignment_id=assignment.assignment_id)
    _check_labeler(where, assignment.labeler_id)
    if assignment.assignment_id in known.assignments:
        raise InputError(f"{where}: assignment_id: {assignment.assignment_id!r} comes twice")
    known.assignments[assignment.assignment_id] = assignment


def _check_event(event: LabelEvent, known: _Known, run_id: str, where: str) -> None:
    if event.seq != len(known.events) + 1:
        raise InputError(f"{where}: seq: want {len(known.events) + 1}, got {event.seq}")
    if isinstance(event, GoldEvent):
        _check_gold(event, known, where)
    else:
        _check_labeler(where, event.labeler_id)
    if not can_be_key(event.event_id):
        raise InputError(f"{where}: event_id: no ledger holds a NUL or half a surrogate pair")
    if event.event_id in known.events:
        raise InputError(f"{where}: event_id: {event.event_id!r} comes twice")
    known.events.add(event.event_id)
    if isinstance(event, LabelChange):
        _check_label(event, known, where)


def _check_gold(event: GoldEvent, known: _Known, where: str) -> None:
    replaces = event.replaces if isinstance(event, GoldMade) else None
    for field_name, name in (("query_id", event.query_id), ("replaces", replaces)):
        query = known.queries.get(name or "")
        if name is not None and (query is None or not is_template(query)):
            raise InputError(f"{where}: {field_name}: no gold query {name!r} above")


def _check_label(event: LabelChange, known: _Known, where: str) -> None:
    assignment = known.assignments.get(event.assignment_id)
    if assignment is None:
        raise InputError(f"{where}: assignment_id: no assignment {event.assignment_id!r} above")
    if (assignment.query_id, assignment.labeler_id) != (event.query_id, event.labeler_id):
        raise InputError(f"{where}: query_id: not that of assignment {event.assignment_id!r}")
    if isinstance(event, AnswerEvent):
        _check_answer(event, known, where)


def _check_answer(event: AnswerEvent, known: _Known, where: str) -> None:
    query = known.queries[event.query_id]
    names = {candidate.candidate_id: candidate for candidate in query.candidates}
    if event.choice is not None and event.choice not in names:
        raise InputError(f"{where}: choice: {event.choice!r} is no candidate of the query")
    if event.ranking is not None and sorted(event.ranking) != sorted(names):
        raise InputError(f"{where}: ranking: want each candidate of the query once")
    if event.strength is not None and not 1 <= event.strength <= 4:
        raise InputError(f"{where}: strength: want 1 to 4, got {event.strength}")
    if not _is_whole(event):
        raise InputError(f"{where}: outcome: {event.outcome!r} lacks what it says")
    for number, (name, start, end, mark) in enumerate(event.spans or ()):
        place = f"{where}: spans.{number}"
        if name not in names or mark not in get_args(Mark):
            raise InputError(
                f"{place}: want a candidate of the query, start, end, and one of "
                f"{', '.join(get_args(Mark))}; got {name!r} and {mark!r}"
            )
        text = names[name].text
        if not 0 <= start < end <= len(text):
            raise InputError(
                f"{place}: want 0 <= start < end <= {len(text)}, the characters of {name!r}, got "
                f"{start} and {end}"
            )
        if known.tokenizer is not None and query.purpose in TRAINING:
            _check_shown(names[name], known.tokenizer, place)


def _check_shown(candidate: Candidate, tokenizer: PolicyTokenizer, place: str) -> None:
    if not is_shown_by(candidate, tokenizer):
        raise InputError(
            f"{place}: labelers saw {candidate.text[:EXCERPT]!r} of {candidate.candidate_id!r}, "
            f"and by the policy's tokenizer its tokens read "
            f"{tokenizer.shown_text(candidate.token_ids)[:EXCERPT]!r}: name the policy that wrote "
            "it, or leave the marks out"
        )


def _check_ids(where: str, **ids: str) -> None:
    """Refuse what the labelling API could not say: then no labeler would ever be asked."""
    for field_name, text in ids.items():
        if not is_identifier(text):
            raise InputError(
                f"{where}: {field_name}: want 1 to {LONGEST_IDENTIFIER} characters, none a NUL or "
                f"half a surrogate pair, got {len(text)}: {text[:EXCERPT]!r}"
            )


def _check_labeler(where: str, labeler_id: str) -> None:
    if not is_labeler_id(labeler_id):
        raise InputError(f"{where}: labeler_id: want a labeler's id, got {labeler_id!r}")


def _is_whole(event: AnswerEvent) -> bool:
    """Say whether a label carries exactly what its outcome needs."""
    return (event.outcome == "choice") == (event.choice is not None) and (
        event.outcome == "ranking"
    ) == (event.ranking is not None)


def _check_reward(reward: RewardVersion, known: _Known, run_id: str, where: str) -> None:
    if reward.version in known.rewards:
        raise InputError(f"{where}: version: reward version {reward.version} comes twice")
    known.rewards.add(reward.version)
    before = 0
    for first, last in reward.learned or ():
        if not before < first <= last <= len(known.events):
            raise InputError(
                f"{where}: learned: want rising ranges of sequence numbers from 1 to "
                f"{len(known.events)}, got {[first, last]}"
            )
        before = last


CHECKS: Mapping[Any, Callable[[Any, _Known, str, str], None]] = {
    ComparisonQuery: _check_query,
    Assignment: _check_assignment,
    LabelEvent: _check_event,
    RewardVersion: _check_reward,
}
