"""What those who label ask of the label queue, through whatever face."""

from __future__ import annotations

from collections.abc import Sequence

from label_queue.folds.access import Identity
from label_queue.labeling.admissions import Admissions
from label_queue.labeling.answer_desk import AnswerDesk
from label_queue.labeling.desk import LabelingDesk
from label_queue.labeling.outside_identity import OutsideIdentity
from label_queue.labeling.own_work import HeldTasks, Me, OwnWork
from label_queue.labeling.run_info import RunInfo
from label_queue.labeling.submissions import LabelAnswer, LabelSubmission
from label_queue.labeling.tasks import Renewal, Task
from label_queue.oversight.cord import Cord
from label_queue.state import LabelState
from protocol.cord import CordState
from protocol.errors import LabelError


class PeopleSide:
    """next_task → submit: leases to labelers, and answers that are durable before acknowledged.

    Errors are LabelErrors.
    """

    def __init__(
        self,
        state: LabelState,
        *,
        admissions: Admissions,
        desk: LabelingDesk,
        answers: AnswerDesk,
        own_work: OwnWork,
        cord: Cord,
    ) -> None:
        self._state = state
        self._admissions = admissions
        self._desk = desk
        self._answers = answers
        self._own_work = own_work
        self._cord = cord

    async def authenticate(self, token: str) -> Identity:
        """Return whose token or session it is, or raise Unauthenticated. Links are none."""
        return self._state.access.authenticate(token)

    async def count_request(self, labeler_id: str) -> None:
        """Count a request that asks nothing of this side. Raises TooFast above the rate."""
        self._state.access.admit(labeler_id)

    async def open_link(self, code: str) -> str:
        """Use up a one-time link; return a session's token. See `Admissions.open_link`."""
        return await self._admissions.open_link(code)

    async def sign_in(self, outsider: OutsideIdentity) -> str:
        """Open a session by a provider's word; return its token. See `Admissions.sign_in`."""
        return await self._admissions.sign_in(outsider)

    async def leave(self, token: str) -> None:
        """End a session. Idempotent."""
        await self._admissions.leave(token)

    async def next_task(self, labeler_id: str, wait_s: float) -> Task | None:
        """Lease a query to a labeler; see `LabelingDesk.next_task`."""
        return await self._desk.next_task(labeler_id, wait_s)

    async def wait_for_task(self, labeler_id: str, wait_s: float, wait_id: str = "") -> Task | None:
        """Go on waiting, in a request for which `next_task` found nothing at once.

        As `next_task`, but it is not counted against the request rate again, and `stop_waiting`
        ends it by its id.
        """
        return await self._desk.wait_for_task(labeler_id, wait_s, wait_id)

    async def stop_waiting(self, wait_id: str) -> None:
        """End a wait whose request is gone. Idempotent; one that is over is left alone."""
        await self._desk.stop_waiting(wait_id)

    async def give_back(self, labeler_id: str, assignment_id: str) -> None:
        """Free a task that never reached who asked for it; see `LabelingDesk.give_back`."""
        await self._desk.give_back(labeler_id, assignment_id)

    async def submit(
        self, labeler_id: str, submissions: Sequence[LabelSubmission], system: str = "api"
    ) -> list[LabelAnswer | LabelError]:
        """Take labels, durable at return, one answer or refusal each; see `AnswerDesk.submit`."""
        return await self._answers.submit(labeler_id, submissions, system)

    async def heartbeat(self, labeler_id: str, assignment_id: str) -> Renewal:
        """Renew a lease and say when it ends; see `LabelingDesk.heartbeat`."""
        return await self._desk.heartbeat(labeler_id, assignment_id)

    async def reject(
        self, labeler_id: str, error: LabelError, payload: str, rejection_id: str | None = None
    ) -> None:
        """Count a body refused at the door; see `AnswerDesk.reject`."""
        await self._answers.reject(labeler_id, error, payload, rejection_id)

    async def run_info(self, labeler_id: str) -> RunInfo:
        """Tell somebody what labelers may know of the run. Raises TooFast above the rate."""
        self._state.access.admit(labeler_id)
        return await self._desk.run_info()

    async def held_tasks(self, labeler_id: str) -> HeldTasks:
        """Return what a labeler holds; see `OwnWork.held_tasks`. Raises TooFast above the rate."""
        self._state.access.admit(labeler_id)
        return self._own_work.held_tasks(labeler_id)

    async def me(self, labeler_id: str) -> Me:
        """Return what a labeler sees of themself. Raises TooFast above the request rate."""
        self._state.access.admit(labeler_id)
        return self._own_work.me(labeler_id)

    async def pull_cord(self, labeler_id: str, reason: str) -> CordState:
        """Stop the line; see `Cord.pull`. Raises TooFast above the request rate."""
        self._state.access.admit(labeler_id)
        return await self._cord.pull(labeler_id, reason)
