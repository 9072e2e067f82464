"""Where tasks go out to labelers, and their leases are kept."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from label_queue.config import LabelsConfig
from label_queue.folds.open_query import OpenQuery
from label_queue.labeling.mixing import TaskMixer, draw_order
from label_queue.labeling.run_info import RunInfo
from label_queue.labeling.tasks import Renewal, Task, as_task
from label_queue.ledger.beginnings import the_assignment
from label_queue.ledger.group_commit import GroupCommit, Overtaken
from label_queue.ledger.records import Record
from label_queue.schedule import LabelSchedule
from label_queue.signals import Place
from label_queue.state import LabelState
from protocol.errors import Forbidden, ResourceError, TooFast, UnknownTask
from protocol.labels import Assignment, ComparisonQuery

POLL_S = 1.0
"""How often a labeler who waits looks again: leases run out without an event."""


class LabelingDesk:
    """Leases queries to labelers, and says what they may know of the run."""

    def __init__(
        self,
        state: LabelState,
        commits: GroupCommit,
        config: LabelsConfig,
        schedule: LabelSchedule,
        *,
        run_id: str,
        rng: random.Random,
        clock: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        self._state = state
        self._commits = commits
        self._config = config
        self._schedule = schedule
        self._run_id = run_id
        self._rng = rng
        self._clock = clock
        self._new_id = new_id
        self._mixer = TaskMixer(state.board, state.history, config.quality, rng=rng, new_id=new_id)

    async def next_task(self, labeler_id: str, wait_s: float) -> Task | None:
        """Lease a query to a labeler; wait up to `wait_s` for one, else return None.

        Each call leases another query, or goes on with one whose lease ran out, or that was let go
        of, by the assignment that they had: it takes one answer. One whose answer was lost is among
        `PeopleSide.held_tasks`, and free again when its lease runs out.
        Gold and repeats are mixed in; a judge is given validation queries alone. Somebody suspended
        or excluded waits like everybody for whom there is nothing to label. Whoever has no task
        comes first: before those who have one, and, where none is free, with one that somebody has
        leased ahead.
        Raises TooFast above the request rate, or above the number of tasks on lease, or of calls
        that wait, at once.
        """
        self._state.access.admit(labeler_id)
        return await self.wait_for_task(labeler_id, wait_s)

    async def wait_for_task(self, labeler_id: str, wait_s: float, wait_id: str = "") -> Task | None:
        """Do as `next_task` for a request that was counted against the rate before.

        `stop_waiting` ends it, by its id.
        """
        state = self._state
        if state.waiting[labeler_id] >= self._config.intake.max_polls:
            raise TooFast(f"{state.waiting[labeler_id]} calls of yours wait for a task already", 1)
        state.waiting[labeler_id] += 1
        try:
            with state.line.place(labeler_id, wait_id) as place:
                deadline = time.monotonic() + wait_s
                while (found := await self._wait_for_pick(place, deadline)) is not None:
                    # A tool was about to take an answer of theirs to it: it is nothing for them.
                    with suppress(Overtaken):
                        return await self._lease(labeler_id, *found)
                return None
        finally:
            state.waiting[labeler_id] -= 1

    async def stop_waiting(self, wait_id: str) -> None:
        """End a call that waits for a task: who made it has gone. Idempotent."""
        self._state.line.send_away(wait_id)

    async def _wait_for_pick(self, place: Place, deadline: float) -> tuple[OpenQuery, float] | None:
        """Return a query to lease at once, and the time; None where there is none until then."""
        while not (place.is_left or self._wants_no_more(place.who)):
            now = self._clock()
            entry = self._pick(place.who, now)
            if entry is not None:
                place.turn = None
                return entry, now
            self._state.line.pass_on(place)
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return None
            await place.wait(min(remaining, POLL_S))
        return None

    def _pick(self, labeler_id: str, now: float) -> OpenQuery | None:
        """Return the query to lease to a labeler now, or None."""
        state, limits = self._state, self._config.lease
        num_leased = state.board.num_leased(labeler_id, now)
        if num_leased >= limits.max_open:
            raise TooFast(f"you hold {num_leased} tasks: answer some of them first", 1)
        if not state.history.standings[labeler_id].gets_tasks:
            return None
        board, max_age_s = state.board, limits.max_age_s
        if num_leased > 0 and labeler_id not in state.judges:
            others = state.with_empty_hands(now) - {labeler_id}
            if any(board.pick(each, now, max_age_s) for each in others):
                return None
            return board.pick(labeler_id, now, max_age_s)
        entry = board.pick(labeler_id, now, max_age_s)
        spare = board.spare(labeler_id, now) if entry is None else None
        return entry if spare is None else board.take_back(spare, now)

    async def _lease(self, labeler_id: str, entry: OpenQuery, now: float) -> Task:
        board = self._state.board
        lease_until = now + self._state.terms.duration_s
        lapsed = entry.holders.get(labeler_id)
        if lapsed is not None:
            since = entry.leases[lapsed].since
            lease_until = min(lease_until, since + self._config.lease.max_age_s)
            return self._lease_again(lapsed, since, lease_until)
        on_top = self._mixer.draw(labeler_id, now, is_doubted=self._state.doubts.holds(labeler_id))
        if on_top is not None:
            # Let lapse, it goes when the query would have gone in whose place it is.
            on_top = replace(on_top, expires_at=entry.query.expires_at)
        query = entry.query if on_top is None else on_top
        let_go = board.assignment_of(labeler_id, query.query_id)
        if let_go is not None:
            # Let go of by a decision that was undone, say: they may have it before them still, and
            # of two assignments each would take an answer.
            return self._lease_again(let_go, now, lease_until)
        assignment = self._assign(labeler_id, query, now, lease_until)
        # Leased before it is written, so that nobody else is given the slot meanwhile; and written
        # before it is handed out, so that no answer can come to an assignment lost in a crash.
        board.lease(assignment, since=now, until=lease_until)
        if on_top is None and labeler_id not in self._state.judges:
            board.pass_over(entry, labeler_id, now)
        records: list[Record] = [assignment] if on_top is None else [on_top, assignment]
        begins = [the_assignment(labeler_id, query.query_id)]
        try:
            await self._commits.write(records, begins=begins)
        except (ResourceError, Overtaken):
            board.release(assignment)
            self._state.line.call(1)
            raise
        return self._task(assignment, lease_until)

    def _lease_again(self, assignment_id: str, since: float, lease_until: float) -> Task:
        """Lease a query to who was given it before, by the assignment that they were given."""
        assignment = self._state.board.assignments[assignment_id]
        self._state.board.lease(assignment, since=since, until=lease_until)
        return self._task(assignment, lease_until)

    def _assign(
        self, labeler_id: str, query: ComparisonQuery, now: float, lease_until: float
    ) -> Assignment:
        order_seed, shown = draw_order(query, self._rng, self._shown_before(labeler_id, query))
        assignment = Assignment(
            assignment_id=self._new_id(),
            query_id=query.query_id,
            labeler_id=labeler_id,
            shown_order=shown,
            order_seed=order_seed,
            created_at=now,
            lease_until=lease_until,
            page_version=self._config.page_version,
            guideline_version=self._config.guideline_version,
        )
        self._mixer.note(assignment, query)
        return assignment

    def _shown_before(self, labeler_id: str, query: ComparisonQuery) -> tuple[int, ...] | None:
        """Return the order, as indices, in which a repeat was shown to them the first time."""
        if query.purpose != "repeat" or query.repeat_of is None:
            return None
        first = self._state.tallies.first_answer(labeler_id, query.repeat_of)
        assert first is not None, "only a labeler's own queries are repeated"
        board = self._state.board
        candidates = board.queries[query.repeat_of].candidates
        index = {each.candidate_id: i for i, each in enumerate(candidates)}
        return tuple(index[name] for name in board.assignments[first.assignment_id].shown_order)

    def _task(self, assignment: Assignment, lease_until: float) -> Task:
        query = self._state.board.queries[assignment.query_id]
        return as_task(query, assignment, lease_until)

    async def heartbeat(self, labeler_id: str, assignment_id: str) -> Renewal:
        """Renew a lease, up to its total age; say when it ends now. Idempotent.

        Raises UnknownTask, or Forbidden for somebody else's.
        """
        self._state.access.admit(labeler_id)
        assignment = self._state.board.assignments.get(assignment_id)
        if assignment is None:
            raise UnknownTask(
                f"run {self._run_id!r} has no assignment {assignment_id!r}: "
                "get one from /api/v1/tasks/next"
            )
        if assignment.labeler_id != labeler_id:
            raise Forbidden("this assignment is another labeler's")
        now = self._clock()
        lease = self._state.board.lease_of(assignment, now)
        if lease is None:
            return Renewal(lease_until=now, is_held=False)
        oldest = lease.since + self._config.lease.max_age_s
        until = min(now + self._state.terms.duration_s, oldest)
        self._state.board.lease(assignment, since=lease.since, until=until)
        return Renewal(lease_until=until, is_held=until > now)

    async def give_back(self, labeler_id: str, assignment_id: str) -> None:
        """End the lease of a task that never reached who asked for it. Idempotent."""
        assignment = self._state.board.assignments.get(assignment_id)
        if assignment is not None and assignment.labeler_id == labeler_id:
            self._state.board.release(assignment)
            self._state.line.call(1)

    async def run_info(self) -> RunInfo:
        """Return what labelers may know of the run."""
        return RunInfo(
            run_id=self._run_id,
            kind=self._config.kind,
            guideline_version=self._config.guideline_version,
            labels_total=self._schedule.total,
            labels_scheduled=self._schedule.wanted(self._state.episodes),
            is_closed=self._wants_no_more(),
        )

    def _wants_no_more(self, labeler_id: str | None = None) -> bool:
        """Say whether nothing is asked any more, of judges, or else of those who label to train."""
        has_all = self._state.history.num_preferences >= self._schedule.total
        return self._state.is_closed or (has_all and labeler_id not in self._state.judges)
