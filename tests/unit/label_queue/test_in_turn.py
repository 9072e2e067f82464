"""A ledger's three streams of labelling, taken in as they came and not one after another."""

from __future__ import annotations

import random
from collections.abc import Iterator

from label_queue.ledger.in_turn import TakenIn, in_turn
from label_queue.ledger.records import Record
from protocol.labels import Assignment, ComparisonQuery, LabelEvent, Submitted
from tests.support.labels import make_assignment, make_event, make_exclusion, make_query

NUM_QUERIES = 2_000


def streams(seed: int) -> tuple[list[ComparisonQuery], list[Assignment], list[LabelEvent]]:
    """Return queries, the leases of most of them, and answers to most of those, some late."""
    draw = random.Random(seed)
    queries = [make_query(number, labels_before=number) for number in range(NUM_QUERIES)]
    assignments = [make_assignment(q) for q in queries if draw.random() < 0.9]
    by_id = {query.query_id: query for query in queries}
    answered = [each for each in assignments if draw.random() < 0.9]
    placed = sorted(
        ((place + draw.choice((0, 0, 0, 900)), a) for place, a in enumerate(answered)),
        key=lambda each: each[0],
    )
    return queries, assignments, [make_event(by_id[a.query_id]) for _, a in placed]


def taken(
    queries: list[ComparisonQuery],
    assignments: list[Assignment],
    events: list[LabelEvent],
    known: set[str] | None = None,
    leased: set[str] | None = None,
    people: set[str] | None = None,
) -> Iterator[Record]:
    """Yield all in turn, as somebody who takes them in at once, and is told nothing too early."""
    known, leased, people = known or set(), leased or set(), people or set()
    labels: list[Submitted] = []
    taken_in = TakenIn(
        queries=known,
        assignments=leased,
        knows=people.__contains__,
        num_labels=lambda: len(labels),
    )
    for some in in_turn(iter(queries), iter(assignments), iter(events), taken_in):
        for record in some:
            if isinstance(record, ComparisonQuery):
                known.add(record.query_id)
            if isinstance(record, Assignment):
                assert record.query_id in known
                leased.add(record.assignment_id)
            if isinstance(record, Submitted):
                assert record.query_id in known
                assert record.assignment_id in leased
                people.add(record.labeler_id)
                labels.append(record)
            yield record


def test_each_comes_once_in_its_streams_order_after_what_it_is_of() -> None:
    queries, assignments, events = streams(seed=1)
    order = list(taken(queries, assignments, events))
    assert [each for each in order if isinstance(each, ComparisonQuery)] == queries
    assert [each for each in order if isinstance(each, Assignment)] == assignments
    assert [each for each in order if isinstance(each, Submitted)] == events


def test_queries_are_read_no_further_than_events_need() -> None:
    queries, assignments, events = streams(seed=2)
    seen = set()
    for record in taken(queries, assignments, events[:50]):
        if isinstance(record, Submitted):
            break
        seen.add(getattr(record, "query_id", ""))
    assert len(seen) < 1_500


def test_what_was_taken_in_before_is_not_waited_for() -> None:
    queries, assignments, events = streams(seed=3)
    known = {query.query_id for query in queries[:1_000]}
    leased = {each.assignment_id for each in assignments if each.query_id in known}
    rest = [each for each in assignments if each.assignment_id not in leased]
    new = queries[1_000:]
    order = list(taken(new, rest, events, known, leased))
    assert [each for each in order if isinstance(each, Submitted)] == events
    assert [each for each in order if isinstance(each, ComparisonQuery)] == new


def test_an_event_of_a_query_that_never_came_ends_all_streams() -> None:
    queries, assignments, events = streams(seed=4)
    lost = queries.pop(10).query_id
    nothing = TakenIn(
        queries=set(),
        assignments=set(),
        knows=lambda _: True,
        num_labels=lambda: 0,
    )
    parts = list(in_turn(iter(queries), iter(assignments), iter(events), nothing))
    given = [record for part in parts for record in part]
    assert lost not in {each.query_id for each in given if isinstance(each, ComparisonQuery)}
    assert sum(isinstance(each, ComparisonQuery) for each in given) == len(queries)
    assert [each for each in given if isinstance(each, Submitted)] == events


def test_before_the_first_event_about_somebody_comes_the_gold_that_was_there() -> None:
    """Whoever begins where it is there is on probation."""
    queries = [
        make_query(0),
        make_query(1, labels_before=1, purpose="gold", gold_answer="q1/b"),
        make_query(2, labels_before=1),
    ]
    leased = [make_assignment(queries[0], name) for name in ("ann", "bob")]
    first, second = (make_event(queries[0], each.labeler_id) for each in leased)

    def order(events: list[LabelEvent], people: set[str]) -> list[str]:
        records = taken(queries, leased, events, people=people)
        return [getattr(each, "event_id", getattr(each, "query_id", "")) for each in records]

    assert order([first], set())[:2] == ["q0", "q1"]
    assert order([first], {"ann"})[:3] == ["q0", "q0", "q0/ann:0"]
    assert order([first, second], {"ann"})[:3] == ["q0", "q1", "q0"]
    assert order([make_exclusion("bob")], set())[:2] == ["owner:0", "q0"]
    assert set(order([first, second], set())) == {"q0", "q1", "q2", "q0/ann:0", "q0/bob:0"}
