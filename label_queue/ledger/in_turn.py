"""Queries, assignments and label events of a ledger, each after what it is of.

They are three streams. Whoever takes in all queries first has let go of the early ones again when
their events come, and reads each a second time; so events are followed, and queries and assignments
are read as far as they need.

Of somebody about whom the first event comes, it counts whether gold was there by then; so that is
taken in before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import TypeVar

from label_queue.ledger.records import Record
from protocol.labels import Assignment, ComparisonQuery, LabelerEvent, LabelEvent, Submitted

EVENTS_AT_ONCE = 500

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenIn:
    """What was taken in so far; what is yielded is there when the next is asked for."""

    queries: Collection[str]
    """Ids."""
    assignments: Collection[str]
    """Ids."""
    knows: Callable[[str], bool]
    """Says whether there was an event about somebody."""
    num_labels: Callable[[], int]
    """Returns how many labels were received."""


def in_turn(
    queries: Iterator[ComparisonQuery],
    assignments: Iterator[Assignment],
    events: Iterator[LabelEvent],
    taken_in: TakenIn,
) -> Iterator[Sequence[Record]]:
    """Yield some records of one stream at a time, each after the query and assignment it is of.

    Args:
        queries: In the order of appending, as are the others.
        assignments: Of queries.
        events: Of assignments and of queries.
        taken_in: What was taken in.
    """
    while some := list(islice(events, EVENTS_AT_ONCE)):
        leased = _until(
            assignments, "assignment_id", _named(some, "assignment_id", taken_in.assignments)
        )
        of = (*leased, *some)
        asked = _until(queries, "query_id", _named(of, "query_id", taken_in.queries))
        if _has_newcomers(some, taken_in):
            num_labels = taken_in.num_labels() + sum(isinstance(e, Submitted) for e in some)
            gold, queries = _through_gold(queries, num_labels)
            asked += gold
        yield asked
        yield leased
        yield some
    yield from _in_parts(queries)
    yield from _in_parts(assignments)


def _has_newcomers(events: Iterable[LabelEvent], taken_in: TakenIn) -> bool:
    named = {event.labeler_id for event in events if isinstance(event, LabelerEvent)}
    return not all(map(taken_in.knows, named))


def _through_gold(
    queries: Iterator[ComparisonQuery], num_labels: int
) -> tuple[list[ComparisonQuery], Iterator[ComparisonQuery]]:
    """Return the next queries through the last gold that was there after so many labels.

    And the others, which have their turn.
    """
    ahead: list[ComparisonQuery] = []
    through = 0
    for query in queries:
        ahead.append(query)
        if query.labels_before > num_labels:
            break
        if query.purpose == "gold":
            through = len(ahead)
    return ahead[:through], chain(ahead[through:], queries)


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
