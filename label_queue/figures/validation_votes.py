"""The votes on validation queries, kept as labels come."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Set
from itertools import islice

from label_queue.figures.validation import ValidationVote, as_vote
from label_queue.folds.history import LabelHistory
from label_queue.kept import kept
from label_queue.quality.purposes import purpose_of
from label_queue.shelf import each_of
from protocol.labels import AnswerEvent, ComparisonQuery, LabelChange


@kept("_num_events", "_votes", "_judged", "_num_votes", "_num_wins", "_num_moves")
class ValidationFold:
    """All choices on validation queries, kept as labels come; those of judges by themselves."""

    def __init__(self, queries: Mapping[str, ComparisonQuery], history: LabelHistory) -> None:
        """Take the queries by id, and the events; what is added to them later is seen."""
        self._queries = queries
        self._history = history
        self._num_events = 0
        self._votes: dict[str, tuple[int, ValidationVote]] = {}
        """Votes that stand, by label id, each with its sequence number, which rise."""
        self._judged: dict[str, tuple[int, ValidationVote]] = {}
        """Votes of judges that stand, by label id, each with its sequence number."""
        self._num_votes = 0
        self._num_wins = 0
        self._num_moves = 0
        """How often standings had changed when the votes that count were last counted anew."""

    def votes(
        self, last: int | None = None, left_behind: Set[int] = frozenset()
    ) -> list[ValidationVote]:
        """Return the votes that count, or the newest `last` of them, by sequence number.

        Labels that are held or excluded are left out, and those of judges.

        Args:
            last: How many at most; None: all.
            left_behind: Policy versions; votes on responses of theirs are left out too.
        """
        return list(islice(self.newest_votes(left_behind), last))[::-1]

    def newest_votes(self, left_behind: Set[int] = frozenset()) -> Iterator[ValidationVote]:
        """Yield the same, newest first; nothing may come meanwhile."""
        self.catch_up()
        standings = self._history.standings
        for seq, vote in reversed(self._votes.values()):
            if standings[vote.labeler_id].trains(seq) and left_behind.isdisjoint(
                vote.policy_versions
            ):
                yield vote

    def judged_votes(self, left_behind: Set[int] = frozenset()) -> list[ValidationVote]:
        """Return the votes of judges by sequence number; those of whom was excluded are left out.

        Args:
            left_behind: Policy versions; votes on responses of theirs are left out too.
        """
        self.catch_up()
        standings = self._history.standings
        return [
            vote
            for seq, vote in self._judged.values()
            if standings[vote.labeler_id].judges(seq)
            and left_behind.isdisjoint(vote.policy_versions)
        ]

    def win_share(self) -> float:
        """Return the share of the votes that count that are wins; NaN of none."""
        self.catch_up()
        if self._num_moves != self._history.num_moves:
            self._num_moves = self._history.num_moves
            votes = self.votes()
            self._num_votes, self._num_wins = len(votes), sum(vote.is_win for vote in votes)
        return self._num_wins / self._num_votes if self._num_votes else math.nan

    def catch_up(self) -> None:
        """Take in what came since the last look."""
        new = [
            event
            for event in self._history.events[self._num_events :]
            if isinstance(event, LabelChange)
            and purpose_of(self._queries, event.query_id) == "validation"
        ]
        asked = each_of(self._queries, (event.query_id for event in new))
        for event, query in zip(new, asked, strict=True):
            if event.label_id in self._votes:
                self._count(*self._votes.pop(event.label_id), by=-1)
            self._judged.pop(event.label_id, None)
            vote = as_vote(query, event) if isinstance(event, AnswerEvent) else None
            if vote is None:
                continue
            # Who judges does so from before their first label on, and for good.
            if self._history.standings[event.labeler_id].is_judge:
                self._judged[event.label_id] = event.seq, vote
            else:
                self._votes[event.label_id] = event.seq, vote
                self._count(event.seq, vote, by=1)
        self._num_events = len(self._history.events)

    def _count(self, seq: int, vote: ValidationVote, *, by: int) -> None:
        """Count a vote, if it counts; where standings have changed, all are counted anew."""
        if self._history.standings[vote.labeler_id].trains(seq):
            self._num_votes += by
            self._num_wins += by * vote.is_win
