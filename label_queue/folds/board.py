"""The present: which queries still want answers, and who holds which.

A fold over the ledger's streams, plus the leases, which live in memory: after a restart they last
until the time recorded with the assignment.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain

from label_queue.folds.given_tasks import GivenTasks
from label_queue.folds.judged import JudgedQueries
from label_queue.folds.open_query import Lease, OpenQuery
from label_queue.folds.shared_tokens import share_tokens, sharing
from label_queue.kept import kept
from label_queue.shelf import Finder, Shelf
from protocol.distinct import is_comparison
from protocol.labels import (
    Assignment,
    ComparisonQuery,
    LabelEvent,
    QueryPurpose,
    Submitted,
)

ON_TOP = ("gold", "repeat")
"""Purposes asked of one labeler on top of the schedule: they are open to nobody else."""


@kept(
    "queries",
    "assignments",
    "given",
    "num_made",
    "again",
    "judged",
    "open_slots",
    "_open",
    "_on_top",
    "_leases",
)
class QueryBoard:
    """Open queries, oldest first, and every query and assignment of the run."""

    def __init__(
        self,
        *,
        initial: int,
        interval: float,
        expiry_nats: float = math.inf,
        moved_since: Callable[[int], float] = lambda version: 0.0,
        find: Finder[ComparisonQuery] | None = None,
        find_assignments: Finder[Assignment] | None = None,
    ) -> None:
        """Let unclaimed queries end as labels come and the policy moves on.

        Args:
            initial: Labels that age no query, the first to come.
            interval: Newer labels after which a query ends; 0: never.
            expiry_nats: How far the policy may move on from a query until it ends.
            moved_since: Returns how far it has moved since a version, nats; 0 where nobody knows.
            find: Finds queries that are not in memory; None: all are.
            find_assignments: The same of assignments.
        """
        self.queries: Shelf[ComparisonQuery] = Shelf(
            None if find is None else sharing(find), sort=lambda query: query.purpose
        )
        self.assignments: Shelf[Assignment] = Shelf(find_assignments)
        self.given = GivenTasks()
        """Who was given which query."""
        self.judged = JudgedQueries(self.queries)
        """What judges are asked, and who they are."""
        self.num_made: Counter[QueryPurpose] = Counter()
        """How many queries there are, by purpose."""
        self.again: dict[str, str | None] = {}
        """Gold and repeats, as they came, each with the query that it asks again, if it does."""
        self.open_slots = 0
        """Answers asked for and not yet given."""
        self._initial = initial
        self._interval = interval
        self._expiry_nats = expiry_nats
        self._moved_since = moved_since
        self._open: dict[str, OpenQuery] = {}
        self._on_top: dict[str, OpenQuery] = {}
        self._leases: dict[str, dict[str, Lease]] = {}

    def slots_to_come(self, now: float, overdue_s: float) -> int:
        """Return the answers still to come from the queries that nobody has answered yet.

        Whoever labels at all can answer those; the rest of a query once answered wants other
        people, who may never come. A task held for longer than `overdue_s` seconds may never be
        answered either.
        """
        fresh = (entry for entry in self._open.values() if not entry.answered_by)
        return sum(entry.slots_to_come(now, overdue_s) for entry in fresh)

    def add_query(self, query: ComparisonQuery) -> None:
        """Open a query. One already known changes nothing.

        Nobody is asked one that is no comparison, as older ledgers may hold some.
        """
        if query.query_id in self.queries:
            return
        share_tokens(query)
        self.queries.add(query.query_id, query)
        self.num_made[query.purpose] += 1
        if query.purpose in ON_TOP:
            self.again[query.query_id] = query.repeat_of
        if is_comparison(query.candidates):
            self.judged.add(query)
            self._open_up(query)

    def appoint(self, labeler_id: str) -> None:
        """Ask somebody what judges are asked, and nothing else; what else they hold is free again.

        Idempotent.
        """
        own = list(self._leases.get(labeler_id, {}).items())
        held = [(self.assignments[name], each) for name, each in own if name in self.assignments]
        for assignment, _ in held:
            self.release(assignment)
        self.judged.judges.add(labeler_id)
        for assignment, lease in held:
            self.lease(assignment, since=lease.since, until=lease.until)

    def _open_up(self, query: ComparisonQuery) -> None:
        entry = OpenQuery(query=query, wanted=query.num_wanted)
        if query.purpose in ON_TOP:
            self._on_top[query.query_id] = entry
            return
        self._open[query.query_id] = entry
        self.open_slots += query.num_wanted

    def assignment_of(self, labeler_id: str, query_id: str) -> str | None:
        """Return the id of somebody's first assignment of a query, or None; nothing is read."""
        number = self.given.number(labeler_id, query_id)
        return None if number is None else self.assignments.names[number]

    def add_assignment(self, assignment: Assignment) -> None:
        """Note who has a query on lease. One already known changes nothing."""
        if assignment.assignment_id in self.assignments:
            return
        self.given.take(assignment, len(self.assignments), self.again.get(assignment.query_id))
        self.assignments.add(assignment.assignment_id, assignment)
        self.lease(assignment, since=assignment.created_at, until=assignment.lease_until)

    def lease(self, assignment: Assignment, *, since: float, until: float) -> None:
        """Lease an unanswered assignment's query; renews a lease, even one that is over.

        Where the slot was filled or expired meanwhile there is nothing left to lease.
        """
        entry = self._entry(assignment, assignment.created_at)
        if entry is None or assignment.labeler_id in entry.answered_by:
            return
        lease = Lease(since=since, until=until)
        entry.leases[assignment.assignment_id] = lease
        entry.holders[assignment.labeler_id] = assignment.assignment_id
        self._leases.setdefault(assignment.labeler_id, {})[assignment.assignment_id] = lease

    def lease_of(self, assignment: Assignment, now: float) -> Lease | None:
        """Return an assignment's lease, or None where it cannot be renewed any more.

        It cannot once it was answered, or is over and its slot somebody else's.
        """
        entry = self._entry(assignment)
        lease = None if entry is None else entry.leases.get(assignment.assignment_id)
        if entry is None or lease is None:
            return None
        return lease if lease.until > now or entry.free_slots(now) > 0 else None

    def let_go(self, labeler_id: str) -> int:
        """Give back all that somebody has on lease; return how much that was. Idempotent."""
        own = self._leases.get(labeler_id, {})
        held = [name for name in own if name in self.assignments]  # and not still being written
        for name in held:
            self.release(self.assignments[name])
        return len(held)

    def release(self, assignment: Assignment) -> None:
        """Give back the lease of an assignment."""
        entry = self._entry(assignment)
        if entry is not None:
            entry.leases.pop(assignment.assignment_id, None)
            entry.holders.pop(assignment.labeler_id, None)
        self._leases.get(assignment.labeler_id, {}).pop(assignment.assignment_id, None)

    def apply(self, event: LabelEvent) -> None:
        """Let the first answer to an assignment fill a slot; revisions change none.

        A late answer fills a slot if one is open. An answer without a preference fills one too:
        the query that replaces it comes from a newer policy. A judge's fills none.
        """
        if not isinstance(event, Submitted):
            return
        self._leases.get(event.labeler_id, {}).pop(event.assignment_id, None)
        if event.labeler_id in self.judged.judges:
            self.judged.answered(event)
            return
        self._on_top.pop(event.query_id, None)
        entry = self._open.get(event.query_id)
        if entry is None:
            return
        entry.leases.pop(event.assignment_id, None)
        entry.holders.pop(event.labeler_id, None)
        entry.answered_by.add(event.labeler_id)
        entry.wanted -= 1
        self.open_slots -= 1
        if entry.wanted == 0:
            del self._open[event.query_id]

    def holders(self, now: float) -> set[str]:
        """Return the labelers who have a task on lease."""
        return {name for name, own in self._leases.items() if _running(own, now)}

    def held(self, now: float) -> dict[str, list[Lease]]:
        """Return who has which tasks on lease, by name, oldest first."""
        held = {name: _running(own, now) for name, own in self._leases.items()}
        return {name: leases for name, leases in sorted(held.items()) if leases}

    def num_leased(self, labeler_id: str, now: float) -> int:
        """Return how many tasks a labeler has on lease, forgetting leases that are over."""
        own = self._leases.get(labeler_id, {})
        for assignment_id in [name for name, lease in own.items() if lease.until <= now]:
            del own[assignment_id]
        return len(own)

    def open_queries(self, now: float) -> list[ComparisonQuery]:
        """Return the queries that still want answers, oldest first; none whose time is over."""
        queries = (entry.query for entry in self._open.values())
        return [query for query in queries if query.expires_at > now]

    def leased_by(self, labeler_id: str, now: float) -> list[tuple[Assignment, float]]:
        """Return the tasks a labeler has on lease, oldest first, each with its lease's end.

        One that is being written is not theirs yet.
        """
        own = self._leases.get(labeler_id, {})
        return [
            (self.assignments[name], lease.until)
            for name, lease in own.items()
            if lease.until > now and name in self.assignments
        ]

    def pick(self, labeler_id: str, now: float, max_age_s: float = math.inf) -> OpenQuery | None:
        """Return the query this labeler may be given, or None. Claims nothing.

        What they let lapse comes first, in the order in which it was given, whatever it is for:
        `holders` then names the assignment to go on with. One that they held for `max_age_s` is for
        others. Else it is the oldest query; one whose time is over, which ends it once more is
        asked for, is given to nobody anew. A judge is given what judges are asked.
        """
        if labeler_id in self.judged.judges:
            return self.judged.pick(labeler_id, now, max_age_s)
        lapsed = (
            entry
            for entry in chain(self._on_top.values(), self._open.values())
            if entry.may_resume(labeler_id, now, max_age_s) and entry.free_slots(now) > 0
        )
        first = min(lapsed, key=lambda entry: entry.held_since(labeler_id), default=None)
        if first is not None:
            return first
        for entry in self._open.values():
            is_known = labeler_id in entry.answered_by or labeler_id in entry.holders
            if not is_known and entry.free_slots(now) > 0 and entry.query.expires_at > now:
                return entry
        return None

    def pass_over(self, taken: OpenQuery, labeler_id: str, now: float) -> None:
        """Let go of what was asked on top of somebody else, as the query given now would have been.

        A task that was let lapse goes to whoever asks next, the oldest first. What is on top is for
        nobody else, so that it would stay, and by that be told from the rest.

        Args:
            taken: What `pick` found for `labeler_id`, who is given it.
            labeler_id: Who.
            now: The server's clock.
        """
        lapsed = (lease.since for lease in taken.leases.values() if lease.until <= now)
        given_at = min(lapsed, default=math.inf)
        for query_id, entry in self._on_top.items():
            lease = next(iter(entry.leases.values()), None)
            if lease is None or lease.until > now or labeler_id in entry.holders:
                continue
            if lease.since < given_at:
                del self._on_top[query_id]
            return

    def spare(self, labeler_id: str, now: float) -> Assignment | None:
        """Return a task on lease that somebody who has none should rather be given, or None.

        It is the newest of whoever holds most, beside one that they keep; of judges it is none,
        and judges are given none.
        """
        judges = self.judged.judges
        if labeler_id in judges:
            return None
        best: tuple[int, Assignment] | None = None
        for name, own in self._leases.items():
            running = [key for key, lease in own.items() if lease.until > now]
            if name in judges or len(running) < 2 or (best is not None and len(running) <= best[0]):
                continue
            for assignment_id in reversed(running[1:]):
                assignment = self.assignments.get(assignment_id)
                entry = None if assignment is None else self._open.get(assignment.query_id)
                if assignment is None or entry is None or name == labeler_id:
                    continue
                if labeler_id not in entry.answered_by and labeler_id not in entry.holders:
                    best = len(running), assignment
                    break
        return None if best is None else best[1]

    def take_back(self, assignment: Assignment, now: float) -> OpenQuery:
        """End the lease of a task that was `spare`; return its query."""
        entry = self._open[assignment.query_id]
        since = entry.leases[assignment.assignment_id].since
        self.lease(assignment, since=since, until=now)
        return entry

    def expire(self, now: float, labels: int) -> int:
        """End the queries that grew old unclaimed; return how many answers will not come.

        `labels` is how many had come by now: people should judge the present policy, so one
        refit interval of newer labels ends a query as time does, and so does a policy that has
        moved too far on. What is on lease stays until it is answered or let go. What is on top ends
        as the query did in whose place it was asked, and no answers are missing for it.
        """
        aged = list(self._aged(now, labels))
        expired = 0
        for entry in aged:
            if entry.free_slots(now) == entry.wanted:
                del self._open[entry.query.query_id]
                expired += entry.wanted
        self.open_slots -= expired
        for query_id, entry in list(self._on_top.items()):
            is_let_go = bool(entry.leases) and entry.free_slots(now) == entry.wanted
            if is_let_go and self._is_old(entry.query, now, labels):
                del self._on_top[query_id]
        return expired

    def _entry(self, assignment: Assignment, given_at: float = math.inf) -> OpenQuery | None:
        query_id = assignment.query_id
        if assignment.labeler_id in self.judged.judges:
            return self.judged.entry(query_id, given_at)
        return self._open.get(query_id) or self._on_top.get(query_id)

    def _aged(self, now: float, labels: int) -> Iterator[OpenQuery]:
        may_be_old = True
        for entry in self._open.values():
            # Oldest first: those that follow one that is not old are younger in both ways. Which
            # version of the policy wrote them is another order: of two drafts the one begun later
            # may be done first.
            may_be_old = may_be_old and self._is_old(entry.query, now, labels)
            if may_be_old or self._is_left_behind(entry.query):
                yield entry

    def _is_old(self, query: ComparisonQuery, now: float, labels: int) -> bool:
        newer = max(labels, self._initial) - max(query.labels_before, self._initial)
        return query.expires_at <= now or 0 < self._interval <= newer

    def _is_left_behind(self, query: ComparisonQuery) -> bool:
        """Whether the policy has moved too far on; ρ's responses to validate by are none of its."""
        newest = max(each.policy_version for each in query.candidates)
        return self._moved_since(newest) > self._expiry_nats


def _running(own: dict[str, Lease], now: float) -> list[Lease]:
    return [lease for lease in own.values() if lease.until > now]
