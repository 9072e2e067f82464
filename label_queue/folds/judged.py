"""What judges are asked: validation queries, each of every judge, beside who labels to train."""

from __future__ import annotations

import math
from collections.abc import Mapping

from label_queue.folds.open_query import OpenQuery
from label_queue.kept import kept
from label_queue.quality.purposes import purpose_of
from label_queue.shelf import Shelf
from protocol.distinct import is_comparison
from protocol.labels import ComparisonQuery, Submitted

EVERYBODY = 1_000_000_000
"""Answers that a query takes of judges: more than there are judges."""


@kept("judges", "_ends", "_entries")
class JudgedQueries:
    """Validation queries that have not expired, and the judges who answered or hold them.

    Their slots are no others': who labels to train is asked the same queries, and what a judge
    answers fills no slot of theirs.
    """

    def __init__(self, queries: Shelf[ComparisonQuery]) -> None:
        """Take the queries by id; those added to the shelf later are seen."""
        self._queries: Mapping[str, ComparisonQuery] = queries
        self.judges: set[str] = set()
        """Who judges. Not to be changed; see `QueryBoard.appoint`."""
        self._ends: dict[str, float] = {}
        """When each query may no longer be claimed, Unix seconds; oldest query first."""
        self._entries: dict[str, OpenQuery] = {}
        """Queries that some judge was given."""

    def add(self, query: ComparisonQuery) -> None:
        """Open a query to judges if it is for validation; let go of those that expired before."""
        if query.purpose != "validation":
            return
        for name, end in list(self._ends.items()):
            if end > query.created_at:
                break  # oldest first: those that follow end later
            self._forget(name)
        self._ends[query.query_id] = query.expires_at

    def entry(self, query_id: str, given_at: float = math.inf) -> OpenQuery | None:
        """Return a query as judges are asked it; None for one that they are not asked.

        One that was given to somebody before its time was over is theirs, also where a start reads
        the queries that ended it first; `given_at` is when it was, Unix seconds.
        """
        known = self._entries.get(query_id)
        if known is not None:
            return known
        if query_id not in self._ends and not self._was_asked(query_id, given_at):
            return None
        entry = OpenQuery(query=self._queries[query_id], wanted=EVERYBODY)
        self._entries[query_id] = entry
        return entry

    def pick(self, judge: str, now: float, max_age_s: float = math.inf) -> OpenQuery | None:
        """Return the query that a judge is to be given, or None. Claims nothing.

        One that they let lapse comes first, for `max_age_s` since they were first given it. Else it
        is one that the fewest judges have answered or hold, and of those the newest: people should
        judge the present policy.
        """
        for query_id, entry in self._entries.items():
            is_open = self._ends.get(query_id, now) > now
            if is_open and entry.may_resume(judge, now, max_age_s):
                return entry
        best: tuple[int, str] | None = None
        for query_id in reversed(self._ends):
            if self._ends[query_id] <= now:
                break
            busy = self._busy_with(query_id)
            if judge not in busy and (best is None or len(busy) < best[0]):
                best = len(busy), query_id
        return None if best is None else self.entry(best[1])

    def answered(self, event: Submitted) -> None:
        """Note that a judge answered a query; one that they are not asked changes nothing."""
        entry = self.entry(event.query_id)
        if entry is None:
            return
        entry.leases.pop(event.assignment_id, None)
        entry.holders.pop(event.labeler_id, None)
        entry.answered_by.add(event.labeler_id)
        if event.query_id not in self._ends:
            self._forget(event.query_id)

    def _was_asked(self, query_id: str, at: float) -> bool:
        """Say whether judges were asked a query at some time."""
        if at == math.inf or purpose_of(self._queries, query_id) != "validation":
            return False
        query = self._queries[query_id]
        return at < query.expires_at and is_comparison(query.candidates)

    def _busy_with(self, query_id: str) -> set[str]:
        """Return the judges who answered a query, or were given it."""
        entry = self._entries.get(query_id)
        return set() if entry is None else set(entry.holders) | entry.answered_by

    def _forget(self, query_id: str) -> None:
        """Ask a query of nobody else; whoever holds it may still answer."""
        self._ends.pop(query_id, None)
        entry = self._entries.get(query_id)
        if entry is None or not entry.holders:
            self._entries.pop(query_id, None)
