"""Where answers come in: checked, written down, and only then thanked for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from pydantic_core import to_json

from label_queue.config import IntakeConfig
from label_queue.labeling.submissions import (
    LabelAnswer,
    LabelSubmission,
    as_event,
    change_refused,
    check_submission,
)
from label_queue.ledger.beginnings import Beginning, the_label
from label_queue.ledger.group_commit import GroupCommit, Overtaken
from label_queue.ledger.records import DeadLetter, Record
from label_queue.state import LabelState
from protocol.errors import (
    Forbidden,
    InvalidLabel,
    LabelConflict,
    LabelError,
    QueueClosed,
    ResourceError,
)
from protocol.labels import AnswerEvent
from protocol.once import Once


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """What one call brought, as it stands to the ledger by now."""

    checked: Sequence[AnswerEvent | LabelError]
    """Each submission as an event, or what refuses it."""
    changes: Sequence[AnswerEvent]
    """The events that are new and change an answer which is in the ledger."""
    others: Sequence[AnswerEvent]
    """All other events."""


class AnswerDesk:
    """Writes labelers' answers down before thanking them."""

    def __init__(
        self,
        state: LabelState,
        commits: GroupCommit,
        limits: IntakeConfig,
        *,
        run_id: str,
        clock: Callable[[], float],
    ) -> None:
        self._state = state
        self._commits = commits
        self._limits = limits
        self._run_id = run_id
        self._clock = clock
        self._rejected = Once()

    async def submit(
        self, labeler_id: str, submissions: Sequence[LabelSubmission], system: str = "api"
    ) -> list[LabelAnswer | LabelError]:
        """Take labels from a `system`; return, for each, the answer or the error that refuses it.

        An answer means that the label is on disk. Idempotent by `assignment_id:revision`: the same
        body gets the first answer again, another one LabelConflict. Changes of mind come before
        what else a batch brings, and none after a decision that rests on what it would change.
        Raises TooFast above the request rate, ResourceError when the disk refuses and QueueClosed
        once the run is over; then none of them was taken. Where all are refused, that is answered
        also where no copy of them can be kept.
        """
        self._state.access.admit(labeler_id)
        while True:
            batch = self._check_all(labeler_id, submissions, system)
            letters = self._letters(labeler_id, submissions, batch.checked)
            try:
                written = await self._write(batch, letters)
            except Overtaken:
                continue
            break
        stored = {each.event_id: each for each in written if isinstance(each, AnswerEvent)}
        return [self._answer(each, stored) for each in batch.checked]

    async def _write(self, batch: _Batch, letters: Sequence[DeadLetter]) -> list[Record]:
        """Write what a call brought, and copies of what is refused. Raises as `GroupCommit`."""
        if not (batch.changes or batch.others):
            # Sent again when there is room, as the disk's refusal asks, they would be as wrong.
            with suppress(ResourceError, QueueClosed):
                return await self._commits.write(letters) if letters else []
            return []
        still = self._may_change(batch.changes) if batch.changes else None
        begins = self._begun_by(batch.others)
        records = [*batch.changes, *batch.others, *letters]
        return await self._commits.write(records, still, begins)

    def _check_all(
        self, labeler_id: str, submissions: Sequence[LabelSubmission], system: str
    ) -> _Batch:
        checked: list[AnswerEvent | LabelError] = []
        fresh: dict[str, AnswerEvent] = {}
        for submission in submissions:
            try:
                event = self._check(labeler_id, submission, fresh, system)
            except LabelError as error:
                checked.append(error)
            else:
                fresh.setdefault(event.event_id, event)
                checked.append(event)
        changes = [event for event in fresh.values() if self._is_change(event)]
        others = [event for event in fresh.values() if not self._is_change(event)]
        # What changes an answer to gold may suspend its labeler, after which no change counts.
        return _Batch(checked=checked, changes=sorted(changes, key=self._is_gold), others=others)

    def _check(
        self,
        labeler_id: str,
        submission: LabelSubmission,
        fresh: Collection[str],
        system: str,
    ) -> AnswerEvent:
        """Return the submission as an event for the ledger, or raise the error that refuses it."""
        if submission.run_id not in (None, self._run_id):
            raise InvalidLabel(
                f"this is run {self._run_id!r}, the label is for run {submission.run_id!r}: "
                "send it to that run's address",
                "run_id",
            )
        assignment = self._state.board.assignments.get(submission.assignment_id)
        if assignment is None:
            raise InvalidLabel(
                f"run {self._run_id!r} has no assignment {submission.assignment_id!r}: "
                "get one from /api/v1/tasks/next",
                "assignment_id",
            )
        if assignment.labeler_id != labeler_id:
            raise Forbidden("this assignment is another labeler's", "assignment_id")
        query = self._state.board.queries[assignment.query_id]
        standing = self._state.history.standings[labeler_id]
        if standing.is_judge and query.purpose != "validation":
            raise Forbidden(
                "you judge this run, and this task is of those that it is trained on: leave it and "
                "get another from /api/v1/tasks/next",
                "assignment_id",
            )
        check_submission(submission, query)
        revision, now = submission.revision, self._clock()
        event = as_event(submission, assignment, revision=revision, received_at=now, system=system)
        if event.event_id not in fresh and not self._state.history.has(event.event_id):
            self._check_revision(event, fresh)
        return event

    def _check_revision(self, event: AnswerEvent, fresh: Collection[str]) -> None:
        """Refuse an event that is new, but whose revision is not the next of its label.

        Where a tool has changed the answer meanwhile, that took the number.
        """
        latest = self._state.history.latest(event.label_id)
        expected = 0 if latest is None else latest.revision + 1
        if event.revision > expected and _before(event) not in fresh:
            raise InvalidLabel(f"revision {expected} must come first", "revision")
        if event.revision and not self._state.history.standings[event.labeler_id].may_revise:
            raise change_refused()
        if event.revision < expected:
            raise LabelConflict(
                f"this answer was changed elsewhere, and revision {event.revision} is that change: "
                f"look at it, and send a change of mind as revision {expected}",
                "revision",
            )

    def _is_change(self, event: AnswerEvent) -> bool:
        history = self._state.history
        return not history.has(event.event_id) and history.row_of(event.label_id) is not None

    def _is_gold(self, event: AnswerEvent) -> bool:
        return self._state.board.queries[event.query_id].purpose == "gold"

    def _begun_by(self, others: Sequence[AnswerEvent]) -> list[Beginning]:
        """Return the labels that begin with these: a tool may be about to begin one of them too."""
        history = self._state.history
        return [
            the_label(event.label_id) for event in others if history.row_of(event.label_id) is None
        ]

    def _may_change(self, changes: Sequence[AnswerEvent]) -> Callable[[], bool]:
        """Return what says whether changes may be made still, each the next of its label."""
        ids = {event.event_id for event in changes}
        history = self._state.history

        def is_next(event: AnswerEvent) -> bool:
            latest = history.latest(event.label_id)
            return latest is not None and latest.revision == event.revision - 1

        def may_change() -> bool:
            return all(
                history.standings[event.labeler_id].may_revise
                and (_before(event) in ids or is_next(event))
                for event in changes
            )

        return may_change

    def _answer(
        self, checked: AnswerEvent | LabelError, by_id: Mapping[str, AnswerEvent]
    ) -> LabelAnswer | LabelError:
        if isinstance(checked, LabelError):
            self._state.figures.num_rejected += 1
            return checked
        stored = by_id[checked.event_id]
        if checked.source.payload_sha256 != stored.source.payload_sha256:
            self._state.figures.num_rejected += 1
            return LabelConflict(
                f"{checked.event_id} was answered before, differently: send a change of mind as "
                f"revision {checked.revision + 1}",
                "revision",
            )
        if checked.received_at != stored.received_at:
            self._state.figures.num_duplicates += 1
        return LabelAnswer(event_id=stored.event_id, seq=stored.seq, received_at=stored.received_at)

    async def reject(
        self, labeler_id: str, error: LabelError, payload: str, rejection_id: str | None = None
    ) -> None:
        """Count a body refused at the door and keep a copy. Raises TooFast above the rate.

        Idempotent by `rejection_id`; without one every call counts.
        """
        if not self._rejected.is_first(rejection_id):
            return
        self._state.access.admit(labeler_id)
        self._state.figures.num_rejected += 1
        if self._room_for_letters > 0:
            await self._commits.write([self._letter(labeler_id, error, payload)])

    def _letters(
        self,
        labeler_id: str,
        submissions: Sequence[LabelSubmission],
        checked: Sequence[AnswerEvent | LabelError],
    ) -> list[DeadLetter]:
        """Return copies of what is refused, up to the configured number."""
        refused = [
            (submission, error)
            for submission, error in zip(submissions, checked, strict=True)
            if isinstance(error, LabelError)
        ]
        return [
            self._letter(labeler_id, error, to_json(submission).decode())
            for submission, error in refused[: self._room_for_letters]
        ]

    @property
    def _room_for_letters(self) -> int:
        return max(0, self._limits.max_dead_letters - self._state.dead_letters.num_kept)

    def _letter(self, labeler_id: str, error: LabelError, payload: str) -> DeadLetter:
        """Return a copy of a refused body, up to the configured length."""
        return DeadLetter(
            received_at=self._clock(),
            labeler_id=labeler_id,
            field=error.field or "",
            message=error.message,
            payload=payload[: self._limits.dead_letter_chars],
        )


def _before(event: AnswerEvent) -> str:
    """Return the id of the event whose place a change of mind takes."""
    return f"{event.label_id}:{event.revision - 1}"
