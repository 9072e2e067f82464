"""Who was given which query, as assignments come."""

from __future__ import annotations

from collections import Counter, defaultdict

from label_queue.kept import kept
from label_queue.name_index import NameIndex
from protocol.labels import Assignment


@kept("num_tasks", "num_again", "_numbers")
class GivenTasks:
    """All assignments of the run, by whom and by what they are of."""

    def __init__(self) -> None:
        self.num_tasks: Counter[str] = Counter()
        """How many tasks everybody was given."""
        self.num_again: dict[str, Counter[str]] = defaultdict(Counter)
        """How often each query was asked again, gold templates and own queries, by labeler."""
        self._numbers = NameIndex()
        """The place of the first assignment of each query to each labeler."""

    def take(self, assignment: Assignment, number: int, asks_again: str | None) -> None:
        """Take the next assignment.

        Args:
            assignment: One that was not there.
            number: Its place among all, from 0.
            asks_again: The query that its query asks again, if it does.
        """
        self.num_tasks[assignment.labeler_id] += 1
        if asks_again is not None:
            self.num_again[assignment.labeler_id][asks_again] += 1
        name = _name(assignment.labeler_id, assignment.query_id)
        if self._numbers.get(name) is None:
            self._numbers.set(name, number)

    def number(self, labeler_id: str, query_id: str) -> int | None:
        """Return the place of somebody's first assignment of a query; None where there is none."""
        return self._numbers.get(_name(labeler_id, query_id))


def _name(labeler_id: str, query_id: str) -> str:
    return f"{labeler_id}\n{query_id}"
