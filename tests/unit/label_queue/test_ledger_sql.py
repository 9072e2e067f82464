"""The ledger, whichever database it lies in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from label_queue.ledger.records import ConnectorOffset, DeadLetter, LabelerToken, TokenRevocation
from label_queue.ledger.sql import SqlLedger
from label_queue.ledger.tables import STREAMS
from protocol.cord import Pulled
from protocol.errors import InputError, ResourceError
from protocol.fits import RewardVersion
from protocol.labels import ComparisonQuery
from protocol.limits import LARGEST_STORED
from tests.support.labels import (
    make_assignment,
    make_cord_event,
    make_event,
    make_provenance,
    make_query,
    make_reward,
    make_role_change,
)
from tests.support.ledger_contract import LedgerContract
from tests.support.ledger_stores import LedgerStore


@pytest.fixture
def ledger(ledger_store: LedgerStore) -> Iterator[SqlLedger]:
    ledger = SqlLedger.open(ledger_store.place, "run-1")
    yield ledger
    ledger.close()


class TestSqlLedger(LedgerContract, of=SqlLedger):
    @pytest.fixture
    def ledger(self, ledger: SqlLedger) -> SqlLedger:
        return ledger


def test_holds_everything_after_a_restart_and_numbers_on(ledger_store: LedgerStore) -> None:
    query = make_query()
    first = SqlLedger.open(ledger_store.place, "run-1")
    first.write([query, make_assignment(query), make_event(query)])
    first.close()
    second = SqlLedger.open(ledger_store.place, "run-1")
    assert second.queries() == [query]
    assert [event.seq for event in second.events()] == [1]
    [event] = second.write([make_event(make_query(1))])
    assert event.seq == 2  # type: ignore[union-attr]
    second.close()


@pytest.mark.parametrize("table", [stream.table.name for stream in STREAMS.values()] + ["run"])
def test_streams_are_append_only(ledger: SqlLedger, ledger_store: LedgerStore, table: str) -> None:
    query = make_query()
    ledger.write(
        [
            query,
            make_assignment(query),
            make_event(query),
            LabelerToken(token_sha256="ab", labeler_id="ann", created_at=1.0, expires_at=None),
            TokenRevocation(token_sha256="ab", at=1.0, reason="left"),
            make_role_change(),
            make_cord_event(Pulled),
            make_reward(1, ledger_seq=1),
            make_provenance(1),
            ConnectorOffset(connector="c", offset="1", at=1.0),
            DeadLetter(received_at=1.0, labeler_id="", field="", message="", payload=""),
        ]
    )
    column = "run_id" if table == "run" else "body"
    before = ledger_store.execute(f"SELECT * FROM {table}")
    assert before
    for statement in (f"UPDATE {table} SET {column} = '7'", f"DELETE FROM {table}"):
        with pytest.raises(ledger_store.refusal, match="append-only"):
            ledger_store.execute(statement)
    assert ledger_store.execute(f"SELECT * FROM {table}") == before


def test_can_be_read_beside_its_writer(ledger: SqlLedger, ledger_store: LedgerStore) -> None:
    ledger.write([make_event(make_query())])
    reader = SqlLedger.open_to_read(ledger_store.place)
    assert reader.events() == ledger.events()
    with pytest.raises(ResourceError, match=r"read-?only"):
        reader.write([make_event(make_query(1))])
    assert ledger.write([make_event(make_query(1))]) == reader.events()[1:]
    reader.close()


def test_refuses_a_second_writer(ledger: SqlLedger, ledger_store: LedgerStore) -> None:
    with pytest.raises(ResourceError, match="another process has this ledger open"):
        SqlLedger.open(ledger_store.place, "run-1")


def test_refuses_the_ledger_of_another_run(ledger: SqlLedger, ledger_store: LedgerStore) -> None:
    ledger.close()
    with pytest.raises(InputError, match="is the ledger of run 'run-1', not 'run-2'"):
        SqlLedger.open(ledger_store.place, "run-2")
    SqlLedger.open(ledger_store.place, "run-1").close()


def test_an_error_of_any_kind_at_opening_frees_the_lock(
    ledger_store: LedgerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("label_queue.ledger.sql.prepare", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            SqlLedger.open(ledger_store.place, "run-1")
    SqlLedger.open(ledger_store.place, "run-1").close()


def test_a_changed_record_is_told_in_a_line(ledger_store: LedgerStore) -> None:
    ledger = SqlLedger.open(ledger_store.place, "run-1")
    ledger.write([make_query()])
    ledger.close()
    for trigger in ("queries_no_update", "queries_append_only ON queries"):
        if trigger.split()[0] in ledger_store.tables():
            ledger_store.execute(f"DROP TRIGGER {trigger}")
    ledger_store.execute("UPDATE queries SET body = '{}'")
    reader = SqlLedger.open_to_read(ledger_store.place)
    with pytest.raises(InputError, match="a record is not as Andon writes it") as told:
        reader.queries()
    assert str(told.value).startswith(f"{ledger_store.place}: ")
    reader.close()


def test_a_trigger_that_was_dropped_is_back_at_the_next_opening(
    ledger_store: LedgerStore,
) -> None:
    SqlLedger.open(ledger_store.place, "run-1").close()
    whole = ledger_store.tables()
    for trigger in ("run_no_delete", "run_append_only ON run"):
        if trigger.split()[0] in whole:
            ledger_store.execute(f"DROP TRIGGER {trigger}")
    assert ledger_store.tables() < whole
    SqlLedger.open(ledger_store.place, "run-1").close()
    assert ledger_store.tables() == whole
    with pytest.raises(ledger_store.refusal, match="append-only"):
        ledger_store.execute("DELETE FROM run")


def test_a_write_of_thousands_of_records_comes_back_in_order(ledger: SqlLedger) -> None:
    events = [make_event(make_query(number)) for number in range(2_500)]
    written = ledger.write(events)
    assert ledger.write(events) == written == ledger.events()


def test_the_largest_numbers_come_back(ledger: SqlLedger) -> None:
    reward = make_reward(LARGEST_STORED, ledger_seq=LARGEST_STORED)
    ledger.write([reward])
    assert ledger.read(RewardVersion) == [reward]


def test_text_of_every_kind_comes_back(ledger: SqlLedger) -> None:
    event = make_event(make_query(), comment="\0 π \u202e 'DROP' \\ \n 𝔘 %s :x")
    written = ledger.write([event])
    assert ledger.events() == written == [replace(event, seq=1)]


def test_nothing_is_in_doubt_that_was_not_cut_off(ledger: SqlLedger) -> None:
    ledger.write([make_event(make_query())])
    assert ledger.settle() == []


def test_records_of_an_earlier_ledger_are_read() -> None:
    query, reward = make_query(), make_reward(1, ledger_seq=7)
    for kind, record, gone, new in (
        (ComparisonQuery, query, {"learned_through": 5, "learned_labels": 4}, ["ledger_seq"]),
        (RewardVersion, reward, {}, ["learned", "announced_at"]),
    ):
        adapter = STREAMS[kind].adapter
        body = adapter.dump_python(record, mode="json") | gone
        earlier = {name: value for name, value in body.items() if name not in new}
        assert adapter.validate_json(json.dumps(earlier)) == record


def test_the_list_of_a_fit_comes_back_as_it_went_in(ledger: SqlLedger) -> None:
    reward = replace(make_reward(1, ledger_seq=9, learned=(1, 2, 5)), announced_at=3.5)
    ledger.write([reward])
    assert ledger.read(RewardVersion) == [reward]
