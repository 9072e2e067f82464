"""Out of a ledger and into another in our own form."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from label_queue.exchange.export import export_run
from label_queue.exchange.imports import Imported, import_file
from label_queue.exchange.line_file import write_lines
from label_queue.exchange.record_lines import read_records, record_lines
from label_queue.folds.dataset import build_dataset
from label_queue.ledger.records import (
    Record,
)
from label_queue.ledger.sql import SqlLedger
from label_queue.ledger_place import LedgerPlace
from protocol.errors import InputError, MissingError, ResourceError, SchemaMismatch
from protocol.fits import DatasetRules
from protocol.labels import ComparisonQuery, GoldMade, GoldRetired, PolicyProvenance, Submitted
from tests.support.canonical_json import dataset_bytes
from tests.support.labels import make_gold_event, make_query, make_role_change
from tests.support.ledger_stores import LedgerStore
from tests.unit.label_queue.conftest import MakeLedger
from tests.unit.label_queue.exchanged import (
    PAIR,
    RUN,
    SECRET,
    everything,
    memory,
)


def ours(records: Sequence[Record]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in record_lines(memory(records))]


def test_our_own_form_round_trips_byte_for_byte(
    make_ledger: MakeLedger, ledger_store: LedgerStore, tmp_path: Path
) -> None:
    ledger = make_ledger(everything())
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    export_run(ledger, first, "andon")
    copy = ledger_store.another()

    imported = import_file(first, copy, at_time=99.0)
    export_run(copy, second, "andon")

    assert imported == Imported(run_id=RUN, num_queries=3, num_events=8)
    assert first.read_bytes() == second.read_bytes()
    for seq in range(9):
        assert training_set(copy, seq) == training_set(ledger, seq)
    reopened = SqlLedger.open(copy, RUN)  # it is a ledger a run can go on with
    reopened.close()


@pytest.mark.parametrize("options", [{"style": "standard"}, {"keep_all": True}])
def test_the_full_record_is_no_part_of_itself(
    make_ledger: MakeLedger, tmp_path: Path, options: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match="are of --format trl"):
        export_run(make_ledger(everything()), tmp_path / "out.jsonl", "andon", **options)


def test_a_file_is_written_where_a_link_points_and_nothing_but_a_file(
    make_ledger: MakeLedger, tmp_path: Path
) -> None:
    ledger, target, link = make_ledger(everything()), tmp_path / "target", tmp_path / "link"
    link.symlink_to(target)
    export_run(ledger, link, "andon")
    assert link.is_symlink()
    assert target.read_bytes()
    for place in (tmp_path, Path("/dev/null")):
        with pytest.raises(InputError, match="is no file"):
            export_run(ledger, place, "andon", force=True)


def training_set(place: LedgerPlace, seq: int) -> bytes:
    ledger = SqlLedger.open_to_read(place)
    queries = {query.query_id: query for query in ledger.queries()}
    events = ledger.events()
    ledger.close()
    return dataset_bytes(build_dataset(queries, events, seq, DatasetRules()))


@pytest.mark.parametrize(("field", "none"), [("prompt_messages", []), ("prompt_node", None)])
def test_a_record_from_before_there_were_messages_or_long_texts_is_read(
    tmp_path: Path, field: str, none: object
) -> None:
    lines = ours(everything())
    assert first(lines, "query").pop(field) == none
    path = tmp_path / "older.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    import_file(path, tmp_path / "copy.sqlite", at_time=0.0)
    ledger = SqlLedger.open_to_read(tmp_path / "copy.sqlite")
    assert ledger.queries()[0] == PAIR
    ledger.close()


def test_a_version_from_before_it_said_how_far_it_came_is_read(tmp_path: Path) -> None:
    lines = ours(everything())
    assert first(lines, "policy_version").pop("moved_kl") == 0.75
    path = tmp_path / "older.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    import_file(path, tmp_path / "copy.sqlite", at_time=0.0)
    ledger = SqlLedger.open_to_read(tmp_path / "copy.sqlite")
    assert [each.moved_kl for each in ledger.read(PolicyProvenance)] == [None]
    ledger.close()


def test_our_own_form_holds_no_secret() -> None:
    lines = ours(everything())
    assert lines[0] == {"type": "header", "format": "andon", "schema_version": 1, "run_id": RUN}
    assert [line["type"] for line in lines[1:]] == [
        *["query"] * 3,
        *["assignment"] * 5,
        *["label_event"] * 8,
        "cord_event",
        "reward_version",
        "policy_version",
        "connector_offset",
    ]
    assert SECRET not in json.dumps(lines)


def test_an_export_does_not_overwrite_unless_forced(
    make_ledger: MakeLedger, tmp_path: Path
) -> None:
    ledger, out = make_ledger(everything()), tmp_path / "out.jsonl"
    out.write_text("mine")
    with pytest.raises(InputError, match="--force"):
        export_run(ledger, out, "andon")
    assert out.read_text() == "mine"
    export_run(ledger, out, "andon", force=True)
    assert out.read_text() != "mine"


def test_an_export_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text("mine")

    def lines() -> Any:
        yield b"one"
        raise InputError("no more")

    with pytest.raises(InputError, match="no more"):
        write_lines(out, lines(), force=True)
    assert out.read_text() == "mine"
    with pytest.raises(ResourceError, match="cannot be written"):
        write_lines(tmp_path / "nowhere" / "out.jsonl", [b"one"])
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


def test_who_may_decide_is_not_exported() -> None:
    assert ours([*everything(), make_role_change("owner")]) == ours(everything())


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
    gold = make_query(0, query_id="gold", run_id=RUN, purpose="gold", num_wanted=0)
    path = tmp_path / "out.jsonl"
    write_lines(path, record_lines(memory([*everything(), gold, event])))
    with pytest.raises(InputError, match=problem):
        read_records(path)


def test_an_empty_ledger_has_nothing_to_export(make_ledger: MakeLedger, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no queries"):
        export_run(make_ledger([]), tmp_path / "out.jsonl", "andon")
    with pytest.raises(MissingError):
        export_run(tmp_path / "none.sqlite", tmp_path / "out.jsonl", "andon")


Edit = Callable[[list[dict[str, Any]]], object]


def first(lines: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    record: dict[str, Any] = next(line for line in lines if line["type"] == kind)["record"]
    return record


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
    lines = ours(everything())
    edit(lines)
    path = tmp_path / "bad.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
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
        read_records(path)


def test_fields_that_queries_no_longer_have_are_passed_over(tmp_path: Path) -> None:
    lines = ours(everything())
    first(lines, "query").update(learned_through=3, learned_labels=2)
    path = tmp_path / "earlier.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    import_file(path, tmp_path / "copy.sqlite", at_time=0.0)
    copy = SqlLedger.open_to_read(tmp_path / "copy.sqlite")
    assert copy.queries() == [each for each in everything() if isinstance(each, ComparisonQuery)]
    copy.close()


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


def test_an_import_makes_a_new_ledger_only(make_ledger: MakeLedger, tmp_path: Path) -> None:
    ledger, out = make_ledger(everything()), tmp_path / "out.jsonl"
    export_run(ledger, out, "andon")
    with pytest.raises(InputError, match="is there already"):
        import_file(out, ledger, at_time=0.0)
    with pytest.raises(InputError, match="is of run 'run-1', not 'run-2'"):
        import_file(out, tmp_path / "copy.sqlite", run_id="run-2", at_time=0.0)
    with pytest.raises(MissingError):
        import_file(tmp_path / "none.jsonl", tmp_path / "copy.sqlite", at_time=0.0)
    with pytest.raises(ResourceError):
        import_file(out, tmp_path / "nowhere" / "copy.sqlite", at_time=0.0)


def test_what_a_client_says_of_its_clock_is_kept(tmp_path: Path) -> None:
    lines = ours(everything())
    first(lines, "label_event").update(shown_at=-1.5, submitted_at=1.7e12, active_ms=-3)
    path = tmp_path / "odd.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    import_file(path, tmp_path / "copy.sqlite", at_time=0.0)
    copy = SqlLedger.open_to_read(tmp_path / "copy.sqlite")
    event = copy.events()[0]
    assert isinstance(event, Submitted)
    assert (event.shown_at, event.submitted_at, event.active_ms) == (-1.5, 1.7e12, -3)
    copy.close()
