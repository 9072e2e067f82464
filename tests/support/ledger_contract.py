"""What every ledger promises, whatever it stores in."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

from label_queue.ledger.records import (
    ConnectorOffset,
    DeadLetter,
    LabelerToken,
    Ledger,
    Record,
    RefusedAnswer,
    TokenRevocation,
)
from protocol.cord import CordEvent, Pulled, ReasonReleased, Released, RollbackOrdered, RolledBack
from protocol.labels import ComparisonQuery, GoldMade, GoldRetired, LabelEvent
from tests.support.contract import Contract
from tests.support.labels import (
    make_appointment,
    make_assignment,
    make_cord_event,
    make_event,
    make_exclusion,
    make_gold_event,
    make_provenance,
    make_query,
    make_reinstatement,
    make_retraction,
    make_reward,
    make_role_change,
    make_undoing,
)


class LedgerContract(Contract):
    """Inherit, and give a fixture `ledger`."""

    def test_returns_what_it_was_given(self, ledger: Ledger) -> None:
        query = make_query(versions=(0, 3))
        token = LabelerToken(token_sha256="ab", labeler_id="ann", created_at=1.5, expires_at=None)
        letter = DeadLetter(
            received_at=2.5,
            labeler_id="ann",
            field="choice",
            message="π?",
            payload="{'",
            answer=RefusedAnswer(connector="studio", external_id="π7", payload_sha256="ab"),
        )
        assignment = make_assignment(query)
        ledger.write([query, token, letter, assignment])
        assert ledger.queries() == [query]
        assert ledger.read(LabelerToken) == [token]
        assert ledger.read(DeadLetter) == [letter]
        assert ledger.assignments() == [assignment]

    def test_versions_revocations_and_the_cord_take_effect_once(self, ledger: Ledger) -> None:
        records: list[Record] = [
            TokenRevocation(token_sha256="ab", at=1.0, reason="used"),
            make_role_change("observer"),
            make_cord_event(Pulled),
            make_reward(1, ledger_seq=7),
            make_provenance(3, restored_from=1, moved_kl=0.75),
        ]
        again: list[Record] = [
            TokenRevocation(token_sha256="ab", at=2.0, reason="left"),
            make_role_change("owner"),
            make_cord_event(Pulled, actor="bob"),
            make_reward(1, ledger_seq=9),
            make_provenance(3),
        ]
        assert ledger.write(records) == records
        assert ledger.write(again) == records
        for record in records:
            assert ledger.read(type(record)) == [record]

    def test_every_offset_of_a_connector_is_kept_in_order(self, ledger: Ledger) -> None:
        offsets = [ConnectorOffset(connector="c", offset=str(i), at=0.0) for i in (1, 2, 1)]
        lines = (("0", "0123456789abcdef" * 2), ("1", ""))
        offsets.append(replace(offsets[0], begun=("0",), lines=lines))
        ledger.write(offsets)
        assert ledger.read(ConnectorOffset) == offsets

    def test_events_are_numbered_from_one_in_the_order_written(self, ledger: Ledger) -> None:
        events = [make_event(make_query(i)) for i in range(3)]
        written = ledger.write(events[:2]) + ledger.write(events[2:])
        assert written == [replace(event, seq=i + 1) for i, event in enumerate(events)]
        assert ledger.events() == written

    def test_events_of_all_types_are_one_stream_and_may_be_read_by_type(
        self, ledger: Ledger
    ) -> None:
        query = make_query()
        events: list[LabelEvent] = [
            make_event(query),
            make_exclusion("ann", number=0, from_seq=1),
            make_event(query, revision=1, outcome="tie"),
            make_retraction(query, revision=2),
            make_reinstatement("ann", number=1),
            make_undoing("ann", number=2, undoes="owner:1"),
            make_appointment("dot", number=7),
            make_event(query, revision=3),
            make_gold_event(GoldMade, number=0),
            make_gold_event(GoldRetired, number=1),
        ]
        written = ledger.write(events)
        assert written == [replace(event, seq=i + 1) for i, event in enumerate(events)]
        assert ledger.events() == written
        assert ledger.write(events) == written
        assert ledger.events() == written
        for kind in get_args(LabelEvent):
            own = [event for event in written if isinstance(event, kind)]
            assert own
            assert ledger.read(kind) == own

    def test_what_happens_to_the_cord_is_one_stream_and_may_be_read_by_type(
        self, ledger: Ledger
    ) -> None:
        events: list[CordEvent] = [
            make_cord_event(Pulled, 0, offered_rollback=2),
            make_cord_event(RollbackOrdered, 1, to_version=1),
            make_cord_event(RolledBack, 2, restored_version=1),
            make_cord_event(Released, 3),
            make_cord_event(Pulled, 4),
            make_cord_event(ReasonReleased, 5, pull_id="cord:4"),
        ]
        assert ledger.write(events) == events
        assert ledger.write([make_cord_event(Released, 0)]) == events[:1]
        assert ledger.cord_events() == events
        for kind in get_args(CordEvent):
            own = [event for event in events if isinstance(event, kind)]
            assert own
            assert ledger.read(kind) == own

    def test_an_event_takes_effect_once(self, ledger: Ledger) -> None:
        query = make_query()
        [first] = ledger.write([make_event(query, choice=0)])
        other = make_event(make_query(1))
        again, new = ledger.write([make_event(query, choice=1), other])
        assert again == first
        assert isinstance(new, LabelEvent)
        assert new.seq == 2
        assert len(ledger.events()) == 2

    def test_a_key_repeated_within_one_write_takes_effect_once(self, ledger: Ledger) -> None:
        event = make_event(make_query())
        assert ledger.write([event, event]) == [replace(event, seq=1)] * 2
        assert len(ledger.events()) == 1

    def test_queries_and_assignments_take_effect_once(self, ledger: Ledger) -> None:
        query = make_query()
        ledger.write([query, make_assignment(query)])
        changed = replace(query, prompt_text="another")
        assert ledger.write([changed]) == [query]
        assert ledger.queries() == [query]

    def test_every_dead_letter_counts(self, ledger: Ledger) -> None:
        letter = DeadLetter(received_at=0.0, labeler_id="", field="", message="", payload="")
        ledger.write([letter, letter])
        assert len(ledger.read(DeadLetter)) == 2

    def test_writing_nothing_is_allowed(self, ledger: Ledger) -> None:
        assert ledger.write([]) == []

    def test_closing_twice_is_allowed(self, ledger: Ledger) -> None:
        ledger.close()
        ledger.close()

    def test_records_are_found_by_what_names_them(self, ledger: Ledger) -> None:
        queries = [make_query(number) for number in range(3)]
        ledger.write([*queries, *(make_event(query) for query in queries)])
        found = ledger.find(ComparisonQuery, ["q2", "q0", "nothing"])
        assert found == {"q0": queries[0], "q2": queries[2]}
        [(key, event)] = ledger.find(LabelEvent, ["q1/ann:0"]).items()
        assert (key, event.seq) == ("q1/ann:0", 2)
        assert ledger.find(ComparisonQuery, []) == {}

    def test_records_are_found_by_their_places(self, ledger: Ledger) -> None:
        queries = [make_query(number) for number in range(3)]
        written = ledger.write([*queries, *(make_event(query) for query in queries)])
        assert ledger.at(ComparisonQuery, [1, 3]) == [queries[0], queries[2]]
        assert ledger.at(LabelEvent, range(2, 4)) == written[4:]
        assert ledger.at(LabelEvent, []) == []

    def test_what_was_written_can_be_read_beside_it(self, ledger: Ledger) -> None:
        reader = ledger.beside()
        query = make_query(1)
        ledger.write([query])
        assert reader.find(ComparisonQuery, ["q1"]) == {"q1": query}
        if reader is not ledger:
            reader.close()
