"""The people's side of a label queue in memory: given tasks go out, answers and decisions are kept.

The same promises as the real queue's, in `tests/support/people_contract.py`; its overview is
whatever a test sets.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from label_queue.folds.access import Identity
from label_queue.folds.cord import after
from label_queue.labeling.admissions import Admission
from label_queue.labeling.own_work import HeldTasks, LastAnswer, Me
from label_queue.labeling.run_info import RunInfo
from label_queue.labeling.submissions import LabelAnswer, LabelSubmission
from label_queue.labeling.tasks import Renewal, Task
from label_queue.ledger.records import Role
from label_queue.oversight.exclusion import ExclusionPreview
from label_queue.oversight.overview import Overview
from label_queue.sides.owner import OwnerSide
from label_queue.sides.people import PeopleSide
from protocol.cord import CordState, Pulled, ReasonReleased
from protocol.errors import Forbidden, LabelConflict, LabelError, Unauthenticated, UnknownTask
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
        self.heartbeats: list[str] = []
        self.given_to_others: set[str] = set()
        """Assignments whose lease is over, and whose task somebody else has now."""
        self.rejected: list[str] = []
        self.is_closed = False
        self.guidelines = guidelines
        self.change = asyncio.Event()
        self.identities: dict[str, Identity] = {}
        self.links: dict[str, Identity] = {}
        self.numbers = itertools.count(1)
        self.pull_ids: set[str] = set()
        self._seqs = itertools.count(1)

    # --- who ---------------------------------------------------------------------------------

    async def authenticate(self, token: str) -> Identity:
        if token not in self.identities:
            raise Unauthenticated("this token is not known here")
        return self.identities[token]

    async def open_link(self, code: str) -> str:
        identity = self.links.pop(code, None)
        if identity is None:
            raise Unauthenticated("this link was used, or is none")
        session = f"session-{next(self.numbers)}"
        self.identities[session] = identity
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

    async def run_info(self) -> RunInfo:
        return RunInfo(
            run_id=self.shown_overview.run_id,
            kind="best_of_k",
            guideline_version="1",
            labels_total=1_024,
            labels_received=len(self.submissions),
            labels_scheduled=10,
            queries_outstanding=len(self.waiting),
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


class FakeOwner(OwnerSide):
    """The owner's side of a fake queue."""

    def __init__(self, queue: FakePeopleQueue) -> None:
        self._queue = queue

    async def add_labeler(self, name: str, role: Role = "labeler") -> str:
        return (await self.admit(name, role)).token

    async def admit(self, labeler_id: str, role: Role) -> Admission:
        number = next(self._queue.numbers)
        identity = Identity(labeler_id=labeler_id, role=role)
        self._queue.links[f"code-{number}"] = identity
        self._queue.identities[f"token-{number}"] = identity
        return Admission(
            labeler_id=labeler_id, link=f"/enter/code-{number}", token=f"token-{number}"
        )

    async def revoke(self, labeler_id: str, reason: str) -> None:
        self._queue.decisions.append(("revoke", labeler_id, reason))
        for tokens in (self._queue.identities, self._queue.links):
            for token in [t for t, who in tokens.items() if who.labeler_id == labeler_id]:
                del tokens[token]

    async def overview(self) -> Overview:
        return self._queue.shown_overview

    async def wait_for_overview(self, after: float, timeout_s: float) -> Overview:
        deadline = time.monotonic() + timeout_s
        while self._queue.shown_overview.at <= after:
            self._queue.change.clear()
            try:
                await asyncio.wait_for(
                    self._queue.change.wait(), max(0.0, deadline - time.monotonic())
                )
            except TimeoutError:
                break
        return self._queue.shown_overview

    async def preview_exclusion(self, labeler_id: str, from_seq: int) -> ExclusionPreview:
        row = next(
            (row for row in self._queue.shown_overview.labelers if row.labeler_id == labeler_id),
            None,
        )
        if row is None:
            raise UnknownTask(f"nobody is called {labeler_id!r}")
        return ExclusionPreview(
            labeler_id=labeler_id,
            from_seq=from_seq,
            labels=max(0, row.labels - from_seq),
            weight_share=row.weight_share,
            forces_refit=row.weight_share > 0.02,
            reward_versions=(3, 4, 5),
            policy_versions=(21, 34),
        )

    async def exclude(self, labeler_id: str, from_seq: int, reason: str) -> ExclusionPreview:
        preview = await self.preview_exclusion(labeler_id, from_seq)
        self._queue.decisions.append(("exclude", labeler_id, str(from_seq), reason))
        self._queue.set_row(labeler_id, state="excluded", excluded_from=from_seq, weight_share=0.0)
        return preview

    async def reinstate(self, labeler_id: str, reason: str) -> ExclusionPreview:
        preview = await self.preview_exclusion(labeler_id, 0)
        self._queue.decisions.append(("reinstate", labeler_id, reason))
        self._queue.set_row(labeler_id, state="active", excluded_from=None)
        return preview

    async def pull_cord(self, reason: str) -> CordState:
        return self._queue.pull("owner", reason)

    async def release_cord(self, reason: str, pull_id: str | None = None) -> CordState:
        cord = self._queue.shown_overview.cord
        if cord.rollback_to is not None:
            raise LabelConflict("a rollback is under way: wait for it")
        if pull_id is not None and pull_id not in self._queue.pull_ids:
            raise UnknownTask("nobody pulled the cord by that name", "pull_id")
        self._queue.decisions.append(("release", reason))
        if cord.reasons:
            named = pull_id or cord.reasons[0].pull_id
            released = ReasonReleased(
                event_id="", actor="owner", reason=reason, at=0.0, pull_id=named
            )
            cord = after(cord, released)
        self._queue.show(cord=cord)
        return cord

    async def order_rollback(self, to_version: int, reason: str) -> CordState:
        cord = self._queue.shown_overview.cord
        if not cord.is_pulled:
            cord = self._queue.pull("owner", reason)
        cord = replace(cord, rollback_to=to_version, offered_rollback=None)
        self._queue.decisions.append(("roll_back", str(to_version), reason))
        self._queue.show(cord=cord)
        return cord

    async def make_gold(self, query_id: str, choice: str) -> str:
        self._queue.decisions.append(("gold", query_id, choice))
        return f"gold-of-{query_id}"
