"""A ledger's three streams of labelling, taken in as they came and not one after another."""

from __future__ import annotations

import random
from collections.abc import Iterator

from label_queue.ledger.in_turn import in_turn
from label_queue.ledger.records import Record
from protocol.labels import Assignment, ComparisonQuery, LabelEvent, Submitted
from tests.support.labels import make_assignment, make_event, make_query

NUM_QUERIES = 2_000


def streams(seed: int) -> tuple[list[ComparisonQuery], list[Assignment], list[LabelEvent]]:
    """Return queries, the leases of most of them, and answers to most of those, some late."""
    draw = random.Random(seed)
    queries = [make_query(number) for number in range(NUM_QUERIES)]
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
) -> Iterator[Record]:
    """Yield all in turn, as somebody who takes them in at once, and is told nothing too early."""
    known, leased = known or set(), leased or set()
    for some in in_turn(iter(queries), iter(assignments), iter(events), known, leased):
        for record in some:
            if isinstance(record, ComparisonQuery):
                known.add(record.query_id)
            if isinstance(record, Assignment):
                assert record.query_id in known
                leased.add(record.assignment_id)
            if isinstance(record, Submitted):
                assert record.query_id in known
                assert record.assignment_id in leased
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
    parts = list(in_turn(iter(queries), iter(assignments), iter(events), set(), set()))
    given = [record for part in parts for record in part]
    assert lost not in {each.query_id for each in given if isinstance(each, ComparisonQuery)}
    assert sum(isinstance(each, ComparisonQuery) for each in given) == len(queries)
    assert [each for each in given if isinstance(each, Submitted)] == events
