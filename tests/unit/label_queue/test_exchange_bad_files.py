"""A file that is not of our own form, or broken: told by line and field; nothing is written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from label_queue.exchange.imports import import_file
from label_queue.exchange.line_file import read_lines, write_lines
from label_queue.exchange.record_lines import read_records, record_lines
from label_queue.ledger.records import Record
from protocol.errors import InputError, SchemaMismatch
from protocol.labels import GoldMade, GoldRetired
from tests.support.labels import make_gold_event, make_provenance, make_query
from tests.unit.label_queue.exchanged import (
    PAIR,
    RUN,
    Edit,
    edited,
    everything,
    first,
    memory,
    ours,
)

MADE = make_gold_event(GoldMade, "gold")
assert isinstance(MADE, GoldMade)


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        (make_gold_event(GoldRetired, "q99"), "query_id: no gold query 'q99' above"),
        (make_gold_event(GoldMade, PAIR.query_id), "query_id: no gold query .* above"),
        (
            replace(MADE, replaces="q99"),
            "replaces: no gold query 'q99' above",
        ),
    ],
)
def test_gold_that_is_not_there_is_named(tmp_path: Path, event: Record, problem: str) -> None:
    gold = replace(GOLD, gold_answer="q9-a")
    path = tmp_path / "out.jsonl"
    write_lines(path, record_lines(memory([*everything(), gold, event])))
    with pytest.raises(InputError, match=problem):
        read_records(path, read_lines(path))


GOLD = make_query(9, query_id="gold", run_id=RUN, purpose="gold", num_wanted=0)
AGAIN = make_query(9, query_id="again", run_id=RUN, purpose="repeat")


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        (GOLD, "gold_answer: want the candidate of the query that is right, got None"),
        (replace(GOLD, gold_answer="q1-a"), "gold_answer: want the candidate .*, got 'q1-a'"),
        (replace(AGAIN, purpose="train", gold_answer="q1-a"), "gold_answer: want the candidate"),
        (AGAIN, "repeat_of: want the query that this one asks again, got none"),
        (replace(AGAIN, repeat_of="q99"), "repeat_of: no query 'q99' above"),
        (
            replace(GOLD, gold_answer="q9-a", repeat_of="q99"),
            "repeat_of: no query 'q99' above",
        ),
        (
            make_provenance(5, restored_from=5),
            "restored_from: want a version before 5, which was made of it, got 5",
        ),
        (make_provenance(5, restored_from=6), "restored_from: want a version before 5, .*, got 6"),
    ],
)
def test_what_leads_nowhere_or_round_in_a_circle_is_named(
    tmp_path: Path, record: Record, problem: str
) -> None:
    path = tmp_path / "out.jsonl"
    write_lines(path, record_lines(memory([*everything(), record])))
    with pytest.raises(InputError, match=rf"line \d+: {problem}"):
        read_records(path, read_lines(path))


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("policy_version", "version: policy version 1 comes twice"),
        ("cord_event", "event_id: 'c1' comes twice"),
    ],
)
def test_what_a_ledger_would_keep_the_first_of_comes_once(
    tmp_path: Path, name: str, problem: str
) -> None:
    def repeat(lines: list[dict[str, Any]]) -> None:
        at = next(i for i, each in enumerate(lines) if each.get("type") == name)
        lines.insert(at, lines[at])

    path = edited(tmp_path, repeat)
    with pytest.raises(InputError, match=rf"line \d+: {problem}, and a ledger keeps the first"):
        read_records(path, read_lines(path))


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (lambda lines: lines.clear(), "is not of our own form"),
        (lambda lines: lines[0].update(format="csv"), "line 1: format: want"),
        (lambda lines: lines[0].update(schema_version=9), "line 1: schema_version: is 9, this is"),
        (lambda lines: lines[0].pop("schema_version"), "line 1: schema_version: want 1, got None"),
        (lambda lines: lines[0].update(schema_version="1"), "line 1: schema_version: want 1, got"),
        (lambda lines: lines[0].update(run_id=""), "line 1: run_id: want"),
        (lambda lines: lines[1].update(type="token"), "line 2: type: 'token' is none of"),
        (lambda lines: lines[1].update(more=1), "line 2: more: unknown"),
        (lambda lines: lines[1].pop("record"), "line 2: record: "),
        (lambda lines: first(lines, "query").update(colour=1), "line 2: colour: no such field"),
        (
            lambda lines: first(lines, "query").update(num_wanted=10**9),
            "line 2: num_wanted: want a number of labelers, at most 1000000, got 1000000000",
        ),
        (
            lambda lines: first(lines, "query").update(query_id="q\0"),
            "line 2: query_id: want 1 to 128 characters, none a NUL",
        ),
        (
            lambda lines: lines.append(
                next(each for each in lines if each.get("type") == "reward_version")
            ),
            "version: reward version 1 comes twice",
        ),
        (
            lambda lines: first(lines, "reward_version").update(learned=[[1, 2], [2, 9]]),
            "learned: want rising ranges of sequence numbers from 1 to 8, got [2, 9]",
        ),
        (
            lambda lines: first(lines, "query")["candidates"][1].update(colour=1),
            "line 2: candidates.1.colour: no such field",
        ),
        (
            lambda lines: first(lines, "query")["candidates"][0].update(token_ids=["4"]),
            "line 2: candidates.0.token_ids.0: Input should be a valid integer",
        ),
        (lambda lines: first(lines, "query").pop("kind"), "line 2: kind: "),
        (
            lambda lines: first(lines, "query")["candidates"][1].update(token_ids=[4, 5, 6]),
            "line 2: candidates: 0 and 1 are alike",
        ),
        (
            lambda lines: first(lines, "query")["candidates"][1].update(text="text of q0-a "),
            "line 2: candidates: 0 and 1 are alike",
        ),
        (
            lambda lines: first(lines, "query").update(
                prompt_messages=[{"role": "boss", "content": "hi"}]
            ),
            "line 2: prompt_messages.0.role: Input should be",
        ),
        (
            lambda lines: first(lines, "query").update(
                prompt_messages=[{"role": "user", "content": "hi", "name": "x"}]
            ),
            "line 2: prompt_messages.0.name: no such field",
        ),
        (lambda lines: first(lines, "query").update(run_id="run-2"), "line 2: run_id: is 'run-2'"),
        (lambda lines: lines.insert(2, lines[1]), "line 3: query_id: 'q0' comes twice"),
        (
            lambda lines: first(lines, "assignment").update(query_id="q9"),
            "line 5: query_id: no query 'q9'",
        ),
        (
            lambda lines: first(lines, "assignment").update(shown_order=["q0-a"]),
            "line 5: shown_order: want each candidate",
        ),
        (
            lambda lines: lines.insert(5, lines[4]),
            "line 6: assignment_id: 'q0/ann' comes twice",
        ),
        (lambda lines: first(lines, "label_event").update(seq=2), "line 10: seq: want 1, got 2"),
        (
            lambda lines: first(lines, "label_event").update(schema_version=2),
            "line 10: schema_version: is 2, this is 1; use the version of Andon that wrote it",
        ),
        (
            lambda lines: first(lines, "label_event").update(from_seq=2),
            "line 10: from_seq: want null: an event of type submit has none",
        ),
        (
            lambda lines: first(lines, "cord_event").update(action="roll_back"),
            "to_version: an action of roll_back names one",
        ),
        (
            lambda lines: first(lines, "label_event").update(assignment_id="none"),
            "line 10: assignment_id: no assignment 'none'",
        ),
        (
            lambda lines: first(lines, "label_event").update(query_id="q1"),
            "line 10: query_id: not that of assignment",
        ),
        (
            lambda lines: first(lines, "label_event").update(choice="q1-a"),
            "line 10: choice: 'q1-a' is no candidate",
        ),
        (
            lambda lines: first(lines, "label_event").update(ranking=["q0-a"]),
            "line 10: ranking: want each candidate",
        ),
        (
            lambda lines: first(lines, "label_event").update(choice=None),
            "line 10: outcome: 'choice' lacks",
        ),
        (
            lambda lines: first(lines, "label_event").update(spans=[["q1-a", 0, 1, "good"]]),
            "line 10: spans.0: want a candidate of the query, start, end, and one of good, bad",
        ),
        (
            lambda lines: first(lines, "label_event").update(spans=[["q0-a", 0, 1, "fine"]]),
            "start, end, and one of good, bad; got 'q0-a' and 'fine'",
        ),
        (
            lambda lines: first(lines, "label_event").update(spans=[["q0-a", 3, 99, "bad"]]),
            "line 10: spans.0: want 0 <= start < end <= 12, the characters of 'q0-a', got 3 and 99",
        ),
        (
            lambda lines: lines[10]["record"].update(event_id="q0/ann:0"),
            "line 11: event_id: 'q0/ann:0' comes twice",
        ),
        (
            lambda lines: first(lines, "reward_version").update(metrics={"a": "b"}),
            "metrics.a: Input should be a valid number",
        ),
        (
            lambda lines: first(lines, "query").update(created_at=10**400),
            "line 2: created_at: want a number of at most 1000000000000, got ",
        ),
        (
            lambda lines: first(lines, "query").update(expires_at=1e13),
            "line 2: expires_at: want a number of at most 1000000000000, got 10000000000000.0",
        ),
        (
            lambda lines: first(lines, "query")["candidates"][0].update(token_ids=[4, -1]),
            "line 2: candidates.0.token_ids.1: want 0 or more, got -1",
        ),
        (
            lambda lines: first(lines, "query")["candidates"][0].update(policy_version=2**63),
            "line 2: candidates.0.policy_version: want a number of at most 9223372036854775807",
        ),
        (
            lambda lines: first(lines, "query").update(selection_probability=0),
            "line 2: selection_probability: want more than 0 and at most 1, got 0",
        ),
        (
            lambda lines: first(lines, "query").update(selection_probability=1.001),
            "line 2: selection_probability: want more than 0 and at most 1, got 1.001",
        ),
        (
            lambda lines: first(lines, "label_event").update(strength=7),
            "line 10: strength: want 1 to 4, got 7",
        ),
        (
            lambda lines: first(lines, "label_event").update(revision=-3),
            "line 10: revision: want 0 or more, got -3",
        ),
        (
            lambda lines: first(lines, "policy_version").update(version=-1),
            "version: want 0 or more, got -1",
        ),
        (
            lambda lines: first(lines, "policy_version").update(moved_kl=-0.5),
            "moved_kl: want 0 or more, got -0.5",
        ),
        (lambda lines: lines.__delitem__(slice(1, None)), "holds no queries"),
    ],
)
def test_a_bad_file_is_named_by_line_and_field_and_nothing_is_written(
    tmp_path: Path, edit: Edit, problem: str
) -> None:
    path = edited(tmp_path, edit)
    with pytest.raises(InputError) as refused:
        import_file(path, tmp_path / "copy.sqlite", at_time=0.0)
    assert problem in str(refused.value)
    assert not list(tmp_path.glob("*copy*"))


def test_an_export_of_a_newer_version_is_told_from_a_broken_one(tmp_path: Path) -> None:
    lines = ours(everything())
    lines[0].update(schema_version=2)
    path = tmp_path / "newer.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    problem = r"newer\.jsonl, line 1: schema_version: is 2, this is 1; use the version of Andon"
    with pytest.raises(SchemaMismatch, match=problem):
        read_records(path, read_lines(path))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"{", "line 1: not JSON"),
        (b"[1]\n", "line 1: want one JSON object a line, got list"),
        (b'{"a": NaN}\n', "line 1: not JSON (NaN"),
        (b'{"a": {"b": 1, "c": 2, "b": 1}}\n', "line 1: b: it is there twice"),
        (b"\xff\xfe", "line 1: not UTF-8"),
        (b"[" * 100_000, "line 1: not JSON"),
    ],
)
def test_what_is_not_json_is_named(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError) as refused:
        import_file(path, tmp_path / "copy.sqlite", at_time=0.0)
    assert problem in str(refused.value)


def test_a_number_that_is_read_as_infinity_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    text = "".join(json.dumps(line) + "\n" for line in ours(everything()))
    at = text.index('"logprob_sum"')
    path.write_text(f'{text[:at]}"logprob_sum": -1e999{text[text.index(",", at) :]}')
    with pytest.raises(InputError, match=r"candidates\.0\.logprob_sum: want a finite number"):
        import_file(path, tmp_path / "copy.sqlite", at_time=0.0)
