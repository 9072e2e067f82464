"""The votes on validation queries, kept as labels come."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

from label_queue.figures.validation import ValidationVote, as_vote
from label_queue.folds.history import LabelHistory
from protocol.labels import AnswerEvent, ComparisonQuery, LabelChange


class ValidationFold:
    """All choices on validation queries, kept as labels come."""

    def __init__(self, queries: Mapping[str, ComparisonQuery], history: LabelHistory) -> None:
        """Take the queries by id, and the events; what is added to them later is seen."""
        self._queries = queries
        self._history = history
        self._num_events = 0
        self._votes: dict[str, tuple[int, ValidationVote]] = {}
        """Votes that stand, by label id, each with its sequence number, which rise."""

    def votes(self, last: int | None = None) -> list[ValidationVote]:
        """Return the votes that count, or the newest `last` of them, by sequence number.

        Labels that are held or excluded are left out.
        """
        self._catch_up()
        standings = self._history.standings
        newest = (
            vote
            for seq, vote in reversed(self._votes.values())
            if standings[vote.labeler_id].trains(seq)
        )
        return list(islice(newest, last))[::-1]

    def _catch_up(self) -> None:
        for event in self._history.events[self._num_events :]:
            if isinstance(event, LabelChange):
                self._votes.pop(event.label_id, None)
            if isinstance(event, AnswerEvent):
                vote = as_vote(self._queries[event.query_id], event)
                if vote is not None:
                    self._votes[event.label_id] = event.seq, vote
        self._num_events = len(self._history.events)
