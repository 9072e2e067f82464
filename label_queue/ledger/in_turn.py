"""Queries, assignments and label events of a ledger, each after what it is of.

They are three streams. Whoever takes in all queries first has let go of the early ones again when
their events come, and reads each a second time; so events are followed, and queries and assignments
are read as far as they need.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from label_queue.ledger.records import Record
from protocol.labels import Assignment, ComparisonQuery, LabelEvent

EVENTS_AT_ONCE = 500

T = TypeVar("T")


def in_turn(
    queries: Iterator[ComparisonQuery],
    assignments: Iterator[Assignment],
    events: Iterator[LabelEvent],
    known_queries: Collection[str],
    known_assignments: Collection[str],
) -> Iterator[Sequence[Record]]:
    """Yield some records of one stream at a time, each after the query and assignment it is of.

    Args:
        queries: In the order of appending, as are the others.
        assignments: Of queries.
        events: Of assignments and of queries.
        known_queries: Ids of those that were taken in; what is yielded is there when the next is
            asked for.
        known_assignments: The same of assignments.
    """
    while some := list(islice(events, EVENTS_AT_ONCE)):
        leased = _until(
            assignments, "assignment_id", _named(some, "assignment_id", known_assignments)
        )
        of = (*leased, *some)
        yield _until(queries, "query_id", _named(of, "query_id", known_queries))
        yield leased
        yield some
    yield from _in_parts(queries)
    yield from _in_parts(assignments)


def _named(records: Iterable[object], name: str, known: Collection[str]) -> set[str]:
    """Return the ids that records say under a name, without those known."""
    ids = {getattr(record, name, None) for record in records}
    return {each for each in ids if each is not None and each not in known}


def _until(records: Iterator[T], name: str, wanted: set[str]) -> list[T]:
    """Return the next records up to the last that is wanted; all, where one never comes."""
    taken: list[T] = []
    while wanted and (record := next(records, None)) is not None:
        taken.append(record)
        wanted.discard(getattr(record, name))
    return taken


def _in_parts(records: Iterator[T]) -> Iterator[list[T]]:
    while some := list(islice(records, EVENTS_AT_ONCE)):
        yield some
