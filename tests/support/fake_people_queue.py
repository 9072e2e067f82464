"""The people's side of a label queue in memory: given tasks go out, answers and decisions are kept.

The same promises as the real queue's, in `tests/support/people_contract.py`; its overview is
whatever a test sets.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from label_queue.folds.access import Identity
from label_queue.folds.cord import after
from label_queue.labeling.outside_identity import OutsideIdentity
from label_queue.labeling.own_work import HeldTasks, LastAnswer, Me
from label_queue.labeling.run_info import RunInfo
from label_queue.labeling.submissions import LabelAnswer, LabelSubmission
from label_queue.labeling.tasks import Renewal, Task
from label_queue.ledger.records import Role
from label_queue.sides.people import PeopleSide
from protocol.cord import CordState, Pulled
from protocol.errors import (
    Forbidden,
    LabelConflict,
    LabelError,
    QueueClosed,
    Unauthenticated,
    UnknownTask,
)
from tests.support.fake_owner import FakeOwner
from tests.support.gold_shelf import GoldShelf
from tests.support.overview import changed, make_overview

PATIENCE_S = 20.0
"""For an answer to come that a page has sent."""


@dataclass(slots=True)
class Given:
    """A task that went out, and the answers to it by revision."""

    task: Task
    labeler_id: str
    answers: list[tuple[LabelSubmission, LabelAnswer]] = field(default_factory=list)


class FakePeopleQueue(PeopleSide):
    """Its people's side is itself. Not durable."""

    def __init__(self, tasks: Sequence[Task] = (), *, guidelines: str = "") -> None:
        self.people = self
        self.owner = FakeOwner(self)
        self.waiting = list(tasks)
        self.given: dict[str, Given] = {}
        self.shown_overview = make_overview()
        self.decisions: list[tuple[str, ...]] = []
        """What the owner did: its name, then its arguments as text."""
        self.actors: list[str] = []
        """Which owner did it, of what is not about the cord."""
        self.gold = GoldShelf()
        self.heartbeats: list[str] = []
        self.given_to_others: set[str] = set()
        """Assignments whose lease is over, and whose task somebody else has now."""
        self.rejected: list[str] = []
        self.is_closed = False
        self.is_over = False
        """Whether the run has ended: nothing is stored any more."""
        self.guidelines = guidelines
        self.change = asyncio.Event()
        self.identities: dict[str, Identity] = {}
        self.links: dict[str, Identity] = {}
        self.roles: dict[str, Role] = {}
        self.judges: set[str] = set()
        self.ended: set[str] = set()
        """Tokens, links and sessions that were revoked."""
        self.numbers = itertools.count(1)
        self.pull_ids: set[str] = set()
        self.released: list[str] = []
        self._seqs = itertools.count(1)

    # --- who ---------------------------------------------------------------------------------

    async def authenticate(self, token: str) -> Identity:
        if token not in self.identities:
            raise Unauthenticated("this token is not known here")
        return self.identities[token]

    async def count_request(self, labeler_id: str) -> None:
        """Count nothing: nobody is too fast here."""

    async def open_link(self, code: str) -> str:
        identity = self.links.pop(code, None)
        if identity is None:
            raise Unauthenticated("this link was used, or is none")
        session = f"session-{next(self.numbers)}"
        self.identities[session] = identity
        return session

    async def sign_in(self, outsider: OutsideIdentity) -> str:
        if outsider.name not in self.roles:
            raise Forbidden(f"nobody called {outsider.name!r} was added here")
        session = f"session-{next(self.numbers)}"
        self.identities[session] = Identity(
            labeler_id=outsider.name, role=self.roles[outsider.name]
        )
        return session

    async def leave(self, token: str) -> None:
        self.identities.pop(token, None)

    # --- labelling ---------------------------------------------------------------------------

    @property
    def submissions(self) -> list[LabelSubmission]:
        """All answers taken, in order."""
        answers = [pair for given in self.given.values() for pair in given.answers]
        return [sent for sent, answer in sorted(answers, key=lambda pair: pair[1].seq)]

    async def answered(self, count: int) -> list[LabelSubmission]:
        """Return all answers once there are so many: a page shows the next task before that."""
        await self._until(lambda: len(self.submissions) >= count)
        return self.submissions

    async def given_out(self, count: int) -> None:
        """Wait until so many tasks were given out: a page asks ahead while it shows another."""
        await self._until(lambda: len(self.given) >= count)

    async def _until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not holds():
                self.change.clear()
                await self.change.wait()

    async def next_task(self, labeler_id: str, wait_s: float) -> Task | None:
        deadline = time.monotonic() + wait_s
        while not self.waiting:
            remaining = deadline - time.monotonic()
            if remaining <= 0 or self.is_closed:
                return None
            self.change.clear()
            try:
                await asyncio.wait_for(self.change.wait(), remaining)
            except TimeoutError:
                return None
        task = self.waiting.pop(0)
        self.given[task.assignment_id] = Given(task, labeler_id)
        self.change.set()
        return task

    async def wait_for_task(self, labeler_id: str, wait_s: float, wait_id: str = "") -> Task | None:
        return await self.next_task(labeler_id, wait_s)

    async def stop_waiting(self, wait_id: str) -> None:
        """Send nobody away: here a task may always come for somebody who is gone."""

    async def give_back(self, labeler_id: str, assignment_id: str) -> None:
        given = self.given.get(assignment_id)
        if given is not None and given.labeler_id == labeler_id and not given.answers:
            del self.given[assignment_id]
            self.waiting.append(given.task)
            self.change.set()

    async def held_tasks(self, labeler_id: str) -> HeldTasks:
        return HeldTasks(
            tasks=tuple(
                given.task
                for given in self.given.values()
                if given.labeler_id == labeler_id and not given.answers
            )
        )

    async def submit(
        self, labeler_id: str, submissions: Sequence[LabelSubmission], system: str = "api"
    ) -> list[LabelAnswer | LabelError]:
        if self.is_over:
            raise QueueClosed("the label queue is closed: the run is over")
        answers = [self._submit(labeler_id, submission) for submission in submissions]
        self.change.set()
        return answers

    def _submit(self, labeler_id: str, submission: LabelSubmission) -> LabelAnswer | LabelError:
        given = self.given.get(submission.assignment_id)
        if given is None:
            return UnknownTask("no such assignment")
        if given.labeler_id != labeler_id:
            return Forbidden("another labeler's", "assignment_id")
        if submission.revision < len(given.answers):
            sent, answer = given.answers[submission.revision]
            return answer if sent == submission else LabelConflict("answered before", "revision")
        answer = LabelAnswer(
            event_id=f"{submission.assignment_id}:{submission.revision}",
            seq=next(self._seqs),
            received_at=time.time(),
        )
        given.answers.append((submission, answer))
        return answer

    async def heartbeat(self, labeler_id: str, assignment_id: str) -> Renewal:
        self._own(labeler_id, assignment_id)
        self.heartbeats.append(assignment_id)
        is_held = assignment_id not in self.given_to_others
        return Renewal(lease_until=time.time() + 600.0 * is_held, is_held=is_held)

    def _own(self, labeler_id: str, assignment_id: str) -> Given:
        given = self.given.get(assignment_id)
        if given is None:
            raise UnknownTask("no such assignment")
        if given.labeler_id != labeler_id:
            raise Forbidden("another labeler's")
        return given

    async def reject(
        self, labeler_id: str, error: LabelError, payload: str, rejection_id: str | None = None
    ) -> None:
        self.rejected.append(payload)

    async def run_info(self, labeler_id: str) -> RunInfo:
        return RunInfo(
            run_id=self.shown_overview.run_id,
            kind="best_of_k",
            guideline_version="1",
            labels_total=1_024,
            labels_scheduled=10,
            is_closed=self.is_closed,
        )

    async def me(self, labeler_id: str) -> Me:
        own = [g for g in self.given.values() if g.labeler_id == labeler_id and g.answers]
        last = max(own, key=lambda given: given.answers[-1][1].seq, default=None)
        cord = self.shown_overview.cord
        return Me(
            labeler_id=labeler_id,
            labels=len(own),
            labels_today=len(own),
            last=None
            if last is None
            else LastAnswer(task=last.task, submission=last.answers[-1][0]),
            guidelines=self.guidelines,
            guideline_version="1",
            cord=cord,
        )

    # --- overseeing --------------------------------------------------------------------------

    def show(self, **changes: object) -> None:
        """Change the overview; who waits for one gets it."""
        overview = self.shown_overview
        self.shown_overview = changed(overview, at=overview.at + 1.0, **changes)
        self.change.set()

    def set_row(self, labeler_id: str, **changes: object) -> None:
        self.show(
            labelers=tuple(
                changed(row, **changes) if row.labeler_id == labeler_id else row
                for row in self.shown_overview.labelers
            )
        )

    async def pull_cord(self, labeler_id: str, reason: str) -> CordState:
        return self.pull(labeler_id, reason)

    def pull(self, actor: str, reason: str) -> CordState:
        cord = self.shown_overview.cord
        if all(each.actor != actor for each in cord.reasons):
            self.decisions.append(("pull", actor, reason))
            pull_id = f"pull-{len(self.pull_ids)}"
            pulled = Pulled(event_id=pull_id, actor=actor, reason=reason, at=self.shown_overview.at)
            self.pull_ids.add(pull_id)
            self.show(cord=after(cord, pulled))
        return self.shown_overview.cord
