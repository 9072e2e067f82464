"""One object for each name in the records of a label, where each has its own from its text.

A live queue makes them of each other, so they share already.
"""

from __future__ import annotations

from collections.abc import Iterable

from protocol.labels import Assignment, LabelChange, LabelEvent, Source


class SharedNames:
    """Lets records share what they name alike, in the order of a ledger's streams.

    They are equal to what they were, so nobody who holds one can tell.
    """

    def __init__(self, query_ids: Iterable[str]) -> None:
        """Take the ids of the queries, which assignments name."""
        self._queries = {name: name for name in query_ids}
        self._assignments: dict[str, Assignment] = {}
        self._words: dict[str, str] = {}
        """Names of people and versions, of which there are few."""
        self._sources: dict[Source, Source] = {}
        """Sources that name no record outside."""

    def of_assignment(self, assignment: Assignment) -> Assignment:
        """Let an assignment share its names; return it."""
        _set(assignment, "query_id", self._queries.get(assignment.query_id, assignment.query_id))
        for name in ("labeler_id", "page_version", "guideline_version"):
            _set(assignment, name, self._word(getattr(assignment, name)))
        self._assignments[assignment.assignment_id] = assignment
        return assignment

    def of_event(self, event: LabelEvent) -> LabelEvent:
        """Let an event share its names with its assignment; return it."""
        if isinstance(event, LabelChange):
            assignment = self._assignments.get(event.assignment_id)
            if assignment is not None:
                _set(event, "assignment_id", assignment.assignment_id)
                _set(event, "query_id", assignment.query_id)
                _set(event, "labeler_id", assignment.labeler_id)
            if event.label_id == event.assignment_id:
                _set(event, "label_id", event.assignment_id)
            self._share_choice(event, assignment)
        if not (event.source.external_id or event.source.payload_sha256):
            _set(event, "source", self._sources.setdefault(event.source, event.source))
        return event

    def _share_choice(self, event: LabelChange, assignment: Assignment | None) -> None:
        choice = getattr(event, "choice", None)
        if assignment is not None and choice is not None and choice in assignment.shown_order:
            place = assignment.shown_order.index(choice)
            _set(event, "choice", assignment.shown_order[place])

    def _word(self, word: str) -> str:
        return self._words.setdefault(word, word)


def _set(record: object, name: str, value: object) -> None:
    """Give a frozen record an equal value."""
    object.__setattr__(record, name, value)
