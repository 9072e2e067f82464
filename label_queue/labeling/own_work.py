"""What labelers see of their own work: never their quality, nor what a task was for."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable

from label_queue.config import LabelsConfig
from label_queue.intake.schemas import CordStanding, HeldTasks, LastAnswer, Me
from label_queue.labeling.submissions import as_submission
from label_queue.labeling.tasks import as_task
from label_queue.state import LabelState
from protocol.labels import AnswerEvent, CordState, Submitted

DAY_S = 86_400.0


class OwnWork:
    """A labeler's tasks in hand, their last answer and their progress."""

    def __init__(
        self,
        state: LabelState,
        config: LabelsConfig,
        guidelines: str,
        clock: Callable[[], float],
    ) -> None:
        """Show `guidelines`, a Markdown text, to everybody."""
        self._state = state
        self._guidelines = guidelines
        self._guideline_version = config.guideline_version
        self._clock = clock

    def held_tasks(self, labeler_id: str) -> HeldTasks:
        """Return the tasks a labeler holds and has not answered, oldest first; renews nothing."""
        board = self._state.board
        return HeldTasks(
            tasks=tuple(
                as_task(board.queries[assignment.query_id], assignment, until)
                for assignment, until in board.held_by(labeler_id, self._clock())
            )
        )

    def me(self, labeler_id: str) -> Me:
        """Return what a labeler sees of themself."""
        submits = self._state.history.submits_of(labeler_id)
        yesterday = self._clock() - DAY_S
        return Me(
            labeler_id=labeler_id,
            labels=len(submits),
            labels_today=len(submits) - bisect_right(submits, yesterday, key=_received_at),
            last=self._last(labeler_id),
            guidelines=self._guidelines,
            guideline_version=self._guideline_version,
            cord=as_standing(self._state.cord),
        )

    def _last(self, labeler_id: str) -> LastAnswer | None:
        submits = self._state.history.submits_of(labeler_id)
        event = self._state.history.latest(submits[-1].label_id) if submits else None
        if not isinstance(event, AnswerEvent):
            return None
        assignment = self._state.board.assignments[event.assignment_id]
        query = self._state.board.queries[event.query_id]
        return LastAnswer(
            task=as_task(query, assignment, assignment.lease_until),
            submission=as_submission(event),
        )


def _received_at(event: Submitted) -> float:
    return event.received_at


def as_standing(cord: CordState) -> CordStanding:
    """Return what labelers see of the cord."""
    return CordStanding(is_pulled=cord.is_pulled, pulled_by=cord.pulled_by, reason=cord.reason)
