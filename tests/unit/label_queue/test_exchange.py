"""Out of a ledger and into another in our own form."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from label_queue.exchange import imports
from label_queue.exchange.export import export_run
from label_queue.exchange.imports import Imported, import_file
from label_queue.exchange.line_file import read_lines, write_lines
from label_queue.exchange.record_lines import read_records
from label_queue.folds.dataset import build_dataset
from label_queue.ledger.sql import SqlLedger
from label_queue.ledger_place import LedgerPlace
from protocol.errors import InputError, MissingError, ResourceError
from protocol.fits import DatasetRules
from protocol.labels import ComparisonQuery, PolicyProvenance, Submitted
from tests.support.canonical_json import dataset_bytes
from tests.support.labels import make_role_change
from tests.support.ledger_stores import LedgerStore
from tests.unit.label_queue.conftest import MakeLedger
from tests.unit.label_queue.exchanged import PAIR, RUN, SECRET, everything, first, ours


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
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb"), os.fdopen(writing, "wb"):
        for place in (tmp_path, Path("/dev/null"), Path(f"/dev/fd/{writing}")):
            with pytest.raises(InputError, match=f"^{re.escape(str(place))}: is no file"):
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


def test_an_empty_ledger_has_nothing_to_export(make_ledger: MakeLedger, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no queries"):
        export_run(make_ledger([]), tmp_path / "out.jsonl", "andon")
    with pytest.raises(MissingError):
        export_run(tmp_path / "none.sqlite", tmp_path / "out.jsonl", "andon")


def test_fields_that_queries_no_longer_have_are_passed_over(tmp_path: Path) -> None:
    lines = ours(everything())
    first(lines, "query").update(learned_through=3, learned_labels=2)
    path = tmp_path / "earlier.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    import_file(path, tmp_path / "copy.sqlite", at_time=0.0)
    copy = SqlLedger.open_to_read(tmp_path / "copy.sqlite")
    assert copy.queries() == [each for each in everything() if isinstance(each, ComparisonQuery)]
    copy.close()


def test_a_field_that_says_nothing_may_be_written_all_the_same(tmp_path: Path) -> None:
    """Whoever writes all fields of a record writes null where an export leaves them out."""
    lines = ours(everything())
    path = tmp_path / "whole.jsonl"
    nothing = {
        "label_event": {"actor": None, "replaces": None, "undoes": None},
        "cord_event": {"to_version": None, "guard": None, "evidence": None, "pull_id": None},
        "connector_offset": {"begun": [], "lines": []},
    }
    whole = [
        lines[0],
        *({**line, "record": nothing.get(line["type"], {}) | line["record"]} for line in lines[1:]),
    ]
    assert whole != lines
    path.write_text("".join(json.dumps(line) + "\n" for line in whole))
    _, records = read_records(path, read_lines(path))
    assert ours(records) == lines


@pytest.mark.parametrize(("field", "value"), [("actor", "ann"), ("colour", None)])
def test_a_field_that_a_type_has_not_or_nobody_knows_is_refused(
    tmp_path: Path, field: str, value: object
) -> None:
    lines = ours(everything())
    first(lines, "label_event")[field] = value
    path = tmp_path / "odd.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(InputError, match=f"line 10: {field}: "):
        read_records(path, read_lines(path))


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


def test_a_ledger_that_came_while_a_file_was_read_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, ledger = tmp_path / "out.jsonl", tmp_path / "ledger.sqlite"
    path.write_text("".join(json.dumps(line) + "\n" for line in ours(everything())))
    write = imports._write

    def written_meanwhile(*arguments: Any) -> None:
        ledger.write_bytes(b"another's")
        write(*arguments)

    monkeypatch.setattr(imports, "_write", written_meanwhile)
    with pytest.raises(InputError, match="is there already"):
        import_file(path, ledger, at_time=0.0)
    assert ledger.read_bytes() == b"another's"
    assert {each.name for each in tmp_path.iterdir()} == {"out.jsonl", "ledger.sqlite"}


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
