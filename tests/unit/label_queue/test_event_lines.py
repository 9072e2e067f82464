"""One type an event, and the one flat line that ledgers and exports have of each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from label_queue.exchange.line_file import read_lines, write_lines
from label_queue.exchange.record_lines import read_records, record_lines
from label_queue.ledger.event_lines import (
    CORD_EVENT,
    CORD_TYPES,
    LABEL_EVENT,
    LABEL_TYPES,
    cord_line,
    label_line,
)
from label_queue.ledger.records import Record
from label_queue.ledger.sql import SqlLedger
from protocol.cord import CordEvent, Pulled, ReasonReleased, Released, RollbackOrdered, RolledBack
from protocol.labels import (
    ActUndone,
    Appointed,
    Excluded,
    GoldMade,
    GoldRetired,
    LabelEvent,
    OwnerEvent,
    Reinstated,
    Retracted,
    Revised,
    Source,
    Submitted,
)
from tests.support.labels import make_assignment, make_query
from tests.support.ledger_stores import LedgerStore
from tests.support.memory_ledger import MemoryLedger

QUERY = make_query()
SUBMITTED = Submitted(
    seq=1,
    event_id="q0/ann:0",
    label_id="q0/ann",
    revision=0,
    assignment_id="q0/ann",
    query_id="q0",
    labeler_id="ann",
    outcome="choice",
    choice="q0-b",
    ranking=None,
    strength=3,
    spans=(("q0-b", 0, 4, "good"),),
    comment="π",
    shown_at=1.5,
    first_action_at=2.5,
    submitted_at=3.5,
    received_at=4.5,
    active_ms=900,
    source=Source(system="page", payload_sha256="ab"),
)
OWNER = Source(system="owner")
EVENTS: dict[str, LabelEvent] = {
    "submit": SUBMITTED,
    "revise": Revised(
        **{each.name: getattr(SUBMITTED, each.name) for each in fields(SUBMITTED)}
        | {"seq": 2, "event_id": "q0/ann:1", "revision": 1, "reason": "a slip"}
    ),
    "retract": Retracted(
        seq=3,
        event_id="q0/ann:2",
        label_id="q0/ann",
        revision=2,
        assignment_id="q0/ann",
        query_id="q0",
        labeler_id="ann",
        received_at=6.5,
        source=Source(system="jsonl", external_id="7", updated_at="2026"),
        reason="deleted in jsonl",
    ),
    "exclude": Excluded(
        seq=4,
        event_id="0199",
        labeler_id="ann",
        received_at=7.5,
        source=OWNER,
        reason="clicks",
        from_seq=2,
    ),
    "reinstate": Reinstated(
        seq=5, event_id="019a", labeler_id="ann", received_at=8.5, source=OWNER, reason="another"
    ),
    "make_gold": GoldMade(
        seq=6,
        event_id="019b",
        query_id="g1",
        received_at=9.5,
        source=OWNER,
        reason="made",
        replaces="g0",
        actor="olga",
    ),
    "retire_gold": GoldRetired(
        seq=7,
        event_id="019c",
        query_id="g0",
        received_at=9.5,
        source=OWNER,
        reason="too easy",
        actor="olga",
    ),
    "appoint": Appointed(
        seq=8, event_id="019d", labeler_id="dot", received_at=9.5, source=OWNER, actor="olga"
    ),
    "undo_act": ActUndone(
        seq=9,
        event_id="019e",
        labeler_id="ann",
        received_at=9.5,
        source=OWNER,
        reason="a slip",
        undoes="0199",
        actor="olga",
    ),
}
ANSWER = (
    '"outcome":"choice","choice":"q0-b","ranking":null,"strength":3,'
    '"spans":[["q0-b",0,4,"good"]],"comment":"π","shown_at":1.5,"first_action_at":2.5,'
    '"submitted_at":3.5,"received_at":4.5,"active_ms":900,'
    '"source":{"system":"page","external_id":"","updated_at":"","payload_sha256":"ab"}'
)
OF_LABEL = '"label_id":"q0/ann","revision":%d,"assignment_id":"q0/ann","query_id":"q0"'
OF_NONE = '"label_id":"","revision":0,"assignment_id":"","query_id":""'
OF_GOLD = '"label_id":"","revision":0,"assignment_id":"","query_id":"%s","labeler_id":""'
NOTHING = (
    '"outcome":null,"choice":null,"ranking":null,"strength":null,"spans":null,"comment":null,'
    '"shown_at":null,"first_action_at":null,"submitted_at":null'
)
BY_OWNER = '"source":{"system":"owner","external_id":"","updated_at":"","payload_sha256":""}'
LINES = {
    "submit": '{"seq":1,"event_id":"q0/ann:0","type":"submit",'
    + (OF_LABEL % 0)
    + f',"labeler_id":"ann",{ANSWER},"reason":null,"from_seq":null,"schema_version":1}}',
    "revise": '{"seq":2,"event_id":"q0/ann:1","type":"revise",'
    + (OF_LABEL % 1)
    + f',"labeler_id":"ann",{ANSWER},"reason":"a slip","from_seq":null,"schema_version":1}}',
    "retract": '{"seq":3,"event_id":"q0/ann:2","type":"retract",'
    + (OF_LABEL % 2)
    + f',"labeler_id":"ann",{NOTHING},"received_at":6.5,"active_ms":null,'
    '"source":{"system":"jsonl","external_id":"7","updated_at":"2026","payload_sha256":""},'
    '"reason":"deleted in jsonl","from_seq":null,"schema_version":1}',
    "exclude": f'{{"seq":4,"event_id":"0199","type":"exclude",{OF_NONE},"labeler_id":"ann",'
    f'{NOTHING},"received_at":7.5,"active_ms":null,{BY_OWNER},'
    '"reason":"clicks","from_seq":2,"schema_version":1}',
    "reinstate": f'{{"seq":5,"event_id":"019a","type":"reinstate",{OF_NONE},"labeler_id":"ann",'
    f'{NOTHING},"received_at":8.5,"active_ms":null,{BY_OWNER},'
    '"reason":"another","from_seq":null,"schema_version":1}',
    "make_gold": f'{{"seq":6,"event_id":"019b","type":"make_gold",{OF_GOLD % "g1"},'
    f'{NOTHING},"received_at":9.5,"active_ms":null,{BY_OWNER},'
    '"reason":"made","from_seq":null,"schema_version":1,"actor":"olga","replaces":"g0"}',
    "retire_gold": f'{{"seq":7,"event_id":"019c","type":"retire_gold",{OF_GOLD % "g0"},'
    f'{NOTHING},"received_at":9.5,"active_ms":null,{BY_OWNER},'
    '"reason":"too easy","from_seq":null,"schema_version":1,"actor":"olga"}',
    "appoint": f'{{"seq":8,"event_id":"019d","type":"appoint",{OF_NONE},"labeler_id":"dot",'
    f'{NOTHING},"received_at":9.5,"active_ms":null,{BY_OWNER},'
    '"reason":null,"from_seq":null,"schema_version":1,"actor":"olga"}',
    "undo_act": f'{{"seq":9,"event_id":"019e","type":"undo_act",{OF_NONE},"labeler_id":"ann",'
    f'{NOTHING},"received_at":9.5,"active_ms":null,{BY_OWNER},'
    '"reason":"a slip","from_seq":null,"schema_version":1,"actor":"olga","undoes":"0199"}',
}
"""As the one record of all types was written, and ledgers of then are full of; gold came later,
and judges, and undoing."""
CORD: dict[str, CordEvent] = {
    "pull": Pulled(event_id="c1", actor="guard", reason="odd", at=1.5, offered_rollback=3),
    "release": Released(event_id="c2", actor="owner", reason="looked", at=2.5),
    "release_one": ReasonReleased(
        event_id="c5", actor="owner", reason="typo", at=2.7, pull_id="c1"
    ),
    "roll_back": RollbackOrdered(event_id="c3", actor="owner", reason="bad", at=3.5, to_version=4),
    "rolled_back": RolledBack(
        event_id="c4", actor="learner", reason="done", at=4.5, restored_version=4
    ),
}
OLDER_CORD_LINES = {
    "pull": '{"event_id":"c1","action":"pull","actor":"guard","reason":"odd","at":1.5,'
    '"to_version":3}',
    "release": '{"event_id":"c2","action":"release","actor":"owner","reason":"looked","at":2.5,'
    '"to_version":null}',
    "roll_back": '{"event_id":"c3","action":"roll_back","actor":"owner","reason":"bad","at":3.5,'
    '"to_version":4}',
    "rolled_back": '{"event_id":"c4","action":"rolled_back","actor":"learner","reason":"done",'
    '"at":4.5,"to_version":4}',
}
"""As they were before there were several reasons."""
NO_TEXTS = ',"guard":null,"evidence":null,"pull_id":null}'
CORD_LINES = {word: line[:-1] + NO_TEXTS for word, line in OLDER_CORD_LINES.items()} | {
    "release_one": '{"event_id":"c5","action":"release_one","actor":"owner","reason":"typo",'
    '"at":2.7,"to_version":null,"guard":null,"evidence":null,"pull_id":"c1"}',
}
CORD_LINES = {word: CORD_LINES[word] for word in CORD}


def changed(line: str, **changes: object) -> str:
    return json.dumps({**json.loads(line), **changes})


def problem_of(adapter: Any, line: str) -> tuple[str, str]:
    with pytest.raises(ValidationError) as refused:
        adapter.validate_json(line)
    [error] = refused.value.errors()
    return ".".join(map(str, error["loc"])), error["msg"]


def test_every_type_has_its_word() -> None:
    assert set(LABEL_TYPES.values()) == set(get_args(LabelEvent))
    assert set(CORD_TYPES.values()) == set(get_args(CordEvent))
    assert EVENTS.keys() == LABEL_TYPES.keys()
    assert CORD.keys() == CORD_TYPES.keys()


@pytest.mark.parametrize("word", EVENTS)
def test_a_label_event_is_written_and_read_as_ever(word: str) -> None:
    assert LABEL_EVENT.dump_json(EVENTS[word]).decode() == LINES[word]
    assert LABEL_EVENT.validate_json(LINES[word], strict=True) == EVENTS[word]
    assert label_line(EVENTS[word]).type == word


@pytest.mark.parametrize("word", ["exclude", "reinstate"])
def test_who_decided_about_a_labeler_is_written_and_read(word: str) -> None:
    event = EVENTS[word]
    assert isinstance(event, OwnerEvent)
    decided = replace(event, actor="olga")
    line = LABEL_EVENT.dump_json(decided).decode()
    assert line == LINES[word][:-1] + ',"actor":"olga"}'
    assert LABEL_EVENT.validate_json(line, strict=True) == decided


@pytest.mark.parametrize("word", CORD)
def test_a_cord_event_is_written_and_read_as_ever(word: str) -> None:
    assert CORD_EVENT.dump_json(CORD[word]).decode() == CORD_LINES[word]
    assert CORD_EVENT.validate_json(CORD_LINES[word], strict=True) == CORD[word]
    assert cord_line(CORD[word]).action == word


@pytest.mark.parametrize("word", OLDER_CORD_LINES)
def test_a_cord_line_of_an_older_ledger_is_read(word: str) -> None:
    assert CORD_EVENT.validate_json(OLDER_CORD_LINES[word], strict=True) == CORD[word]


def test_a_guards_pull_says_which_and_where_its_evidence_is() -> None:
    pulled = Pulled(
        event_id="c1", actor="guard", reason="odd", at=1.5, guard="kl_sign", evidence="guards/1"
    )
    assert CORD_EVENT.validate_json(CORD_EVENT.dump_json(pulled)) == pulled


@pytest.mark.parametrize(
    ("word", "changes", "field", "problem"),
    [
        ("release", {"guard": "kl_sign"}, "guard", "an action of release has none"),
        ("pull", {"pull_id": "c0"}, "pull_id", "an action of pull has none"),
        ("release_one", {"pull_id": None}, "pull_id", "an action of release_one names one"),
    ],
)
def test_a_cord_line_with_another_actions_texts_is_named(
    word: str, changes: dict[str, object], field: str, problem: str
) -> None:
    assert problem_of(CORD_EVENT, changed(CORD_LINES[word], **changes)) == (field, problem)


@pytest.mark.parametrize(
    ("word", "changes", "field", "problem"),
    [
        ("submit", {"from_seq": 3}, "from_seq", "want null: an event of type submit has none"),
        ("submit", {"outcome": None}, "outcome", "an event of type submit states one"),
        ("revise", {"outcome": None}, "outcome", "an event of type revise states one"),
        ("retract", {"outcome": "tie"}, "outcome", "want null: an event of type retract has none"),
        ("retract", {"active_ms": 3}, "active_ms", "want null: an event of type retract"),
        ("exclude", {"query_id": "q0"}, "query_id", 'want "": an event of type exclude has none'),
        ("exclude", {"revision": 1}, "revision", "want 0: an event of type exclude has none"),
        ("reinstate", {"from_seq": 3}, "from_seq", "want null: an event of type reinstate"),
        ("submit", {"actor": "ann"}, "actor", "want null: an event of type submit has none"),
        ("exclude", {"replaces": "g"}, "replaces", "want null: an event of type exclude has none"),
        ("make_gold", {"labeler_id": "ann"}, "labeler_id", 'want "": an event of type make_gold'),
        ("retire_gold", {"choice": "a"}, "choice", "want null: an event of type retire_gold"),
        ("undo_act", {"undoes": None}, "undoes", "an event of type undo_act names one"),
        ("exclude", {"undoes": "0199"}, "undoes", "want null: an event of type exclude has none"),
        ("submit", {"type": "hold"}, "type", "Input should be 'submit'"),
        ("submit", {"schema_version": 2}, "schema_version", "is 2, this is 1; use the version of"),
        ("submit", {"schema_version": 0}, "schema_version", "is 0, this is 1; it was changed"),
    ],
)
def test_a_label_line_that_says_what_its_type_has_not_is_named(
    word: str, changes: dict[str, object], field: str, problem: str
) -> None:
    where, message = problem_of(LABEL_EVENT, changed(LINES[word], **changes))
    assert where == field
    assert message.startswith(problem)


@pytest.mark.parametrize(
    ("word", "to_version", "problem"),
    [
        ("release", 3, "an action of release has none"),
        ("roll_back", None, "an action of roll_back names one"),
        ("rolled_back", None, "an action of rolled_back names one"),
    ],
)
def test_a_cord_line_with_another_actions_version_is_named(
    word: str, to_version: int | None, problem: str
) -> None:
    line = changed(CORD_LINES[word], to_version=to_version)
    assert problem_of(CORD_EVENT, line) == ("to_version", problem)


GOLD = [
    make_query(n, query_id=f"g{n}", purpose="gold", num_wanted=0, gold_answer=f"q{n}-a")
    for n in range(2)
]
RECORDS: list[Record] = [QUERY, *GOLD, make_assignment(QUERY), *EVENTS.values(), *CORD.values()]


@pytest.fixture
def ledger(ledger_store: LedgerStore) -> Iterator[SqlLedger]:
    ledger = SqlLedger.open(ledger_store.place, "run-1")
    ledger.write(RECORDS)
    yield ledger
    ledger.close()


def test_the_ledgers_columns_are_those_of_the_line(
    ledger: SqlLedger, ledger_store: LedgerStore
) -> None:
    rows = ledger_store.execute(
        "SELECT seq, type, query_id, labeler_id, received_at, event_id, body "
        "FROM label_events ORDER BY seq"
    )
    cord = ledger_store.execute(
        "SELECT action, actor, at, event_id, body FROM cord_events ORDER BY position"
    )
    for number, (word, event) in enumerate(EVENTS.items(), start=1):
        said = json.loads(LINES[word])
        names = said["query_id"], said["labeler_id"]
        row = (number, word, *names, event.received_at, event.event_id, LINES[word])
        assert rows[number - 1] == row
    assert cord == [
        (word, event.actor, event.at, event.event_id, CORD_LINES[word])
        for word, event in CORD.items()
    ]


def test_an_export_gives_every_type_back(ledger: SqlLedger, tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    write_lines(path, record_lines(ledger))
    text = path.read_text(encoding="utf-8")
    for line in LINES.values():
        assert f'{{"type":"label_event","record":{line}}}\n' in text
    for line in CORD_LINES.values():
        assert f'{{"type":"cord_event","record":{line}}}\n' in text
    run_id, records = read_records(path, read_lines(path))
    assert run_id == "run-1"
    copy = MemoryLedger()
    copy.write(records)
    assert copy.events() == list(EVENTS.values())
    assert copy.cord_events() == list(CORD.values())
    assert list(record_lines(copy)) == list(record_lines(ledger))
