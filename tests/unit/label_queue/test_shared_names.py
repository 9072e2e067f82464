"""What the records of one label name alike is one object."""

from __future__ import annotations

from dataclasses import replace

from label_queue.folds.shared_names import SharedNames
from label_queue.ledger.event_lines import LABEL_EVENT
from protocol.labels import AnswerEvent, Source
from tests.support.labels import make_assignment, make_event, make_exclusion, make_query

QUERY = make_query(1)


def apart(text: str) -> str:
    """An equal text that is another object."""
    return "".join(list(text))


def own(event: AnswerEvent) -> AnswerEvent:
    """The event as it is read from its text: nothing of it is anybody else's."""
    read = LABEL_EVENT.validate_json(LABEL_EVENT.dump_json(event))
    assert isinstance(read, AnswerEvent)
    return read


def test_a_label_shares_its_names_with_its_assignment_and_stays_what_it_was() -> None:
    names = SharedNames([QUERY.query_id])
    read = replace(make_assignment(QUERY), query_id=apart("q1"), labeler_id=apart("ann"))
    assignment = names.of_assignment(read)
    assert assignment == make_assignment(QUERY)
    assert assignment.query_id is QUERY.query_id
    told = make_event(QUERY, choice=2)
    event = names.of_event(own(told))
    assert isinstance(event, AnswerEvent)
    assert event == told
    assert event.label_id is event.assignment_id is assignment.assignment_id
    assert event.query_id is assignment.query_id
    assert event.labeler_id is assignment.labeler_id
    assert event.choice is assignment.shown_order[2]


def test_sources_are_shared_that_name_no_record_outside() -> None:
    names = SharedNames([])
    events = [names.of_event(own(make_event(QUERY, revision=number))) for number in (1, 2)]
    assert events[0].source is events[1].source
    outside = Source(system="argilla", external_id="7")
    told = make_event(QUERY, source=outside)
    assert names.of_event(told).source is outside


def test_what_is_of_no_label_stays_as_it_is() -> None:
    exclusion = make_exclusion("ann")
    assert SharedNames([]).of_event(exclusion) is exclusion
