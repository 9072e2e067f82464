"""A file whose labels would be lost or turned in a ledger is refused; what a run writes is not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from label_queue.exchange.line_file import read_lines, write_lines
from label_queue.exchange.record_lines import read_records, record_lines
from label_queue.ledger.records import Record
from protocol.errors import InputError
from protocol.labels import Source
from tests.support.labels import make_assignment, make_event, make_retraction
from tests.unit.label_queue.exchanged import (
    FOUR,
    PAIR,
    Edit,
    edited,
    first,
    labelled,
    memory,
)

TOOL = Source(system="label_studio", external_id="7")


def event(lines: list[dict[str, Any]], number: int) -> dict[str, Any]:
    """Return the label event of a number, to be changed in its place."""
    events = [line["record"] for line in lines if line.get("type") == "label_event"]
    return next(each for each in events if each["seq"] == number)


def name_alike(lines: list[dict[str, Any]]) -> None:
    """Give both responses of the first query one id, everywhere."""
    query = first(lines, "query")
    query["candidates"][1]["candidate_id"] = "q0-a"
    for line in lines[1:]:
        if line["record"].get("query_id") == "q0" and line["type"] == "assignment":
            line["record"]["shown_order"] = ["q0-a", "q0-a"]


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (
            name_alike,
            "line 2: candidates.1.candidate_id: 'q0-a' comes twice in the query, so that no label "
            "tells which is meant: leave the query and its labels out",
        ),
        (
            lambda lines: event(lines, 3).update(label_id="q0/ann"),
            "line 12: label_id: want 'q1/ann', its assignment's id, got 'q0/ann': a label is",
        ),
        (
            lambda lines: event(lines, 1).update(type="revise"),
            "line 10: type: no submit of label 'q0/ann' above, which comes before all else",
        ),
        (
            lambda lines: event(lines, 6).update(
                json.loads(json.dumps(event(lines, 7))), seq=6, event_id="other"
            ),
            "line 15: type: no submit of label 'q0/bob' above",
        ),
        (
            lambda lines: event(lines, 1).update(revision=1),
            "line 10: revision: want 0, the submit's, got 1: write a later answer as a revise",
        ),
        (
            lambda lines: event(lines, 2).update(type="submit"),
            "line 11: revision: want 0, the submit's, got 1: write a later answer as a revise",
        ),
        (
            lambda lines: event(lines, 2).update(type="submit", revision=0),
            "line 11: type: a submit of label 'q0/ann' is above: write a later answer as a revise, "
            "of revision 1",
        ),
        (
            lambda lines: event(lines, 2).update(revision=0),
            "line 11: revision: want 1, the next of label 'q0/ann', got 0: number a label's events",
        ),
        (
            lambda lines: event(lines, 7).update(revision=2),
            "line 16: revision: want 1, the next of label 'q0/bob', got 2",
        ),
    ],
)
def test_a_label_that_would_be_lost_or_turned_is_named(
    tmp_path: Path, edit: Edit, problem: str
) -> None:
    path = edited(tmp_path, edit)
    with pytest.raises(InputError) as refused:
        read_records(path, read_lines(path))
    assert problem in str(refused.value)


SECOND = replace(make_assignment(PAIR, "ann"), assignment_id="again")
"""Of a query that ann was given before, and let go of."""


@pytest.mark.parametrize(
    "records",
    [
        # An answer after a retraction goes on counting.
        labelled(
            make_event(PAIR, "ann"),
            make_retraction(PAIR, "ann"),
            make_event(PAIR, "ann", revision=2, choice=1),
        ),
        # One person, on the page and in a tool at one moment: the first, and a change of mind.
        labelled(
            make_event(FOUR, "ann"),
            make_event(FOUR, "ann", choice=1, event_id="tool/7", source=TOOL),
            make_event(FOUR, "ann", revision=1, choice=2),
            make_event(FOUR, "ann", revision=1, choice=3, event_id="tool/7:1", source=TOOL),
            make_event(FOUR, "ann", revision=2),
        ),
        # A query that was given back is given to the same person anew, and both may be answered.
        [
            PAIR,
            make_assignment(PAIR, "ann"),
            SECOND,
            make_event(PAIR, "ann"),
            make_event(PAIR, "ann", assignment_id="again", label_id="again", event_id="again:0"),
        ],
    ],
)
def test_what_a_run_may_have_written_is_taken(tmp_path: Path, records: list[Record]) -> None:
    ledger = memory(records)
    path = tmp_path / "out.jsonl"
    write_lines(path, record_lines(ledger))
    _, read = read_records(path, read_lines(path))
    assert list(record_lines(memory(read))) == list(record_lines(ledger))
