"""What labelers see of their own work: never their quality, nor what a task was for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from label_queue.config import LabelsConfig
from label_queue.labeling.submissions import LabelSubmission, as_submission
from label_queue.labeling.tasks import Task, as_task
from label_queue.state import LabelState
from protocol.cord import CordState
from protocol.labels import AnswerEvent

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldTasks:
    """Tasks leased to this labeler and not answered yet, oldest first: a refreshed page goes on."""

    tasks: tuple[Task, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LastAnswer:
    """The labeler's newest answer, which they may still change."""

    task: Task
    submission: LabelSubmission
    """The answer as it stands; a change of mind is this with `revision` one higher."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Me:
    """What a labeler sees of themself: their work, not their quality."""

    labeler_id: str
    labels: int
    """Labels given so far."""
    labels_today: int
    """Labels given in the last 24 hours."""
    last: LastAnswer | None
    guidelines: str
    """Markdown of the guidelines, from the config; empty if there are none."""
    guideline_version: str
    cord: CordState


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
        """Return the unanswered tasks a labeler has on lease, oldest first; renews nothing."""
        board = self._state.board
        return HeldTasks(
            tasks=tuple(
                as_task(board.queries[assignment.query_id], assignment, until)
                for assignment, until in board.leased_by(labeler_id, self._clock())
            )
        )

    def me(self, labeler_id: str) -> Me:
        """Return what a labeler sees of themself."""
        submits = self._state.history.submits_of(labeler_id)
        now = self._clock()
        return Me(
            labeler_id=labeler_id,
            labels=len(submits),
            labels_today=self._state.history.num_received_since(now - DAY_S, now, labeler_id),
            last=self._last(labeler_id),
            guidelines=self._guidelines,
            guideline_version=self._guideline_version,
            cord=self._state.cord,
        )

    def _last(self, labeler_id: str) -> LastAnswer | None:
        submits = self._state.history.submits_of(labeler_id)
        event = self._state.history.latest_of(submits[-1].seq) if submits else None
        if not isinstance(event, AnswerEvent):
            return None
        assignment = self._state.board.assignments[event.assignment_id]
        query = self._state.board.queries[event.query_id]
        return LastAnswer(
            task=as_task(query, assignment, assignment.lease_until),
            submission=as_submission(event),
        )
