"""A labeler's answer, and the event it becomes; everything wrong with it is named here."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass as plain_dataclass
from typing import Annotated, TypeVar, cast

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from pydantic_core import to_json

from label_queue.ids import Identifier
from protocol.errors import InvalidLabel, LabelConflict
from protocol.labels import (
    AnswerEvent,
    Assignment,
    ComparisonQuery,
    Mark,
    Outcome,
    QueryKind,
    Revised,
    Source,
    Submitted,
)

N = TypeVar("N", int, float)

OUTCOMES_BY_KIND: dict[QueryKind, tuple[Outcome, ...]] = {
    "pair": ("choice", "tie", "both_bad", "skip", "flag"),
    "best_of_k": ("choice", "tie", "both_bad", "skip", "flag"),
    "ranking": ("ranking", "tie", "both_bad", "skip", "flag"),
}

MOST_SPANS = 256
"""Marks of one label."""
LONGEST_COMMENT = 4_000
LONGEST_REASON = 1_000
LATEST = 1e12
"""Unix seconds, of a client's clock."""
MOST_ACTIVE_MS = 86_400_000

ClientTime = Annotated[float, Field(ge=0, le=LATEST)]

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
"""What comes from outside holds nothing unknown, nothing coerced, nothing infinite."""


@dataclass(frozen=True, slots=True, kw_only=True, config=STRICT)
class Span:
    """Characters of a candidate that the labeler marked."""

    candidate_id: Identifier
    start: Annotated[int, Field(ge=0)]
    end: Annotated[int, Field(ge=1)]
    mark: Mark


@dataclass(frozen=True, slots=True, kw_only=True, config=STRICT)
class LabelSubmission:
    """An answer to a task, checked field by field. Only the first and `outcome` must be given.

    Raises ValidationError where a field is none that it can be.
    """

    assignment_id: Identifier
    revision: Annotated[int, Field(ge=0, le=1_000)] = 0
    """0 for the first answer, then one more for each change of mind."""
    run_id: Identifier | None = None
    """If given, it must be this run's: a guard against a client pointed at another run."""
    outcome: Outcome
    choice: Identifier | None = None
    """The best candidate's id, for `choice`."""
    ranking: Annotated[tuple[Identifier, ...], Field(max_length=64)] | None = None
    """All candidate ids, best first, for `ranking`."""
    strength: Annotated[int, Field(ge=1, le=4)] | None = None
    """How much better the best is: 1 slightly … 4 far."""
    spans: Annotated[tuple[Span, ...], Field(max_length=MOST_SPANS)] | None = None
    comment: Annotated[str, Field(max_length=LONGEST_COMMENT)] | None = None
    reason: Annotated[str, Field(max_length=LONGEST_REASON)] | None = None
    """Why the task was skipped or flagged."""
    shown_at: ClientTime | None = None
    """When the task was shown, Unix seconds on the client's clock. Stored, never used for order."""
    first_action_at: ClientTime | None = None
    """When the labeler first did something, Unix seconds on the client's clock. Stored, as
    `shown_at`."""
    submitted_at: ClientTime | None = None
    """When the answer was sent, Unix seconds on the client's clock. Stored, as `shown_at`."""
    active_ms: Annotated[int, Field(ge=0, le=MOST_ACTIVE_MS)] | None = None
    """Milliseconds spent on the task; sets how long leases last."""


@plain_dataclass(frozen=True, slots=True, kw_only=True)
class LabelAnswer:
    """The label is on disk. A repeat of the request gets the same answer."""

    event_id: str
    """Idempotency key, "assignment_id:revision"."""
    seq: int
    """Sequence number of the label's event in the ledger."""
    received_at: float
    """When the label was received, Unix seconds on the server's clock."""


def change_refused() -> LabelConflict:
    """Return what refuses to change an answer of somebody suspended or excluded."""
    return LabelConflict("this answer stands now and can no longer be changed", "revision")


def check_submission(submission: LabelSubmission, query: ComparisonQuery) -> None:
    """Raise InvalidLabel(message, field) if the submission is no answer to this query."""
    allowed = OUTCOMES_BY_KIND[query.kind]
    if submission.outcome not in allowed:
        raise InvalidLabel(
            f"{submission.outcome!r} does not answer a {query.kind} task: want one of "
            f"{', '.join(allowed)}",
            "outcome",
        )
    names = {candidate.candidate_id: candidate.text for candidate in query.candidates}
    _check_choice(submission, names)
    _check_ranking(submission, names)
    _check_spans(submission, names)


def _check_choice(submission: LabelSubmission, names: dict[str, str]) -> None:
    if submission.outcome == "choice":
        if submission.choice is None:
            raise InvalidLabel("outcome 'choice' needs the candidate_id chosen", "choice")
        if submission.choice not in names:
            raise InvalidLabel(
                f"{submission.choice!r} is not a candidate of this task: want one of "
                f"{', '.join(names)}",
                "choice",
            )
    elif submission.choice is not None:
        raise InvalidLabel(f"outcome {submission.outcome!r} takes no choice", "choice")
    if submission.strength is not None and submission.outcome != "choice":
        raise InvalidLabel(f"outcome {submission.outcome!r} takes no strength", "strength")


def _check_ranking(submission: LabelSubmission, names: dict[str, str]) -> None:
    if submission.outcome == "ranking":
        if sorted(submission.ranking or ()) != sorted(names):
            raise InvalidLabel("must name every candidate exactly once, best first", "ranking")
    elif submission.ranking is not None:
        raise InvalidLabel(f"outcome {submission.outcome!r} takes no ranking", "ranking")


def _check_spans(submission: LabelSubmission, names: dict[str, str]) -> None:
    for i, span in enumerate(submission.spans or ()):
        if span.candidate_id not in names:
            raise InvalidLabel(
                f"{span.candidate_id!r} is not a candidate of this task: want one of "
                f"{', '.join(names)}",
                f"spans.{i}.candidate_id",
            )
        length = len(names[span.candidate_id])
        if not span.start < span.end <= length:
            raise InvalidLabel(
                f"want start < end <= {length}, the characters of {span.candidate_id!r}, got "
                f"{span.start} and {span.end}",
                f"spans.{i}",
            )


def payload_sha256(submission: LabelSubmission) -> str:
    """Return the digest that tells a repeat of a submission from another under the same key."""
    return hashlib.sha256(to_json(submission)).hexdigest()


def as_event(
    submission: LabelSubmission,
    assignment: Assignment,
    *,
    revision: int,
    received_at: float,
    system: str,
) -> AnswerEvent:
    """Return the event of a checked submission; the ledger gives it its `seq`.

    Args:
        submission: What was said.
        assignment: Of whom, and on which query.
        revision: Of the label; a tool's answers are counted by us, and say none themselves.
        received_at: Unix seconds, the server's clock.
        system: What it came through, e.g. "page".
    """
    spans = submission.spans
    kind = Submitted if revision == 0 else Revised
    return kind(
        seq=0,
        event_id=f"{assignment.assignment_id}:{revision}",
        label_id=assignment.assignment_id,
        revision=revision,
        assignment_id=assignment.assignment_id,
        query_id=assignment.query_id,
        labeler_id=assignment.labeler_id,
        outcome=submission.outcome,
        choice=submission.choice,
        ranking=submission.ranking,
        strength=submission.strength,
        spans=None
        if spans is None
        else tuple((span.candidate_id, span.start, span.end, span.mark) for span in spans),
        comment=submission.comment,
        shown_at=submission.shown_at,
        first_action_at=submission.first_action_at,
        submitted_at=submission.submitted_at,
        received_at=received_at,
        active_ms=submission.active_ms,
        source=Source(system=system, payload_sha256=payload_sha256(submission)),
        reason=submission.reason,
    )


def as_submission(event: AnswerEvent) -> LabelSubmission:
    """Return the answer that a label's event was made of, so that it can be shown and changed.

    What was imported may be more than can be sent: what it says of a client's time is left out
    then, and texts and marks end where they must.
    """
    spans = None if event.spans is None else event.spans[:MOST_SPANS]
    return LabelSubmission(
        assignment_id=event.assignment_id,
        revision=event.revision,
        outcome=event.outcome,
        choice=event.choice,
        ranking=event.ranking,
        strength=event.strength,
        spans=None
        if spans is None
        else tuple(
            Span(candidate_id=name, start=start, end=end, mark=cast(Mark, mark))
            for name, start, end, mark in spans
        ),
        comment=None if event.comment is None else event.comment[:LONGEST_COMMENT],
        reason=None if event.reason is None else event.reason[:LONGEST_REASON],
        shown_at=_sayable(event.shown_at, LATEST),
        first_action_at=_sayable(event.first_action_at, LATEST),
        submitted_at=_sayable(event.submitted_at, LATEST),
        active_ms=_sayable(event.active_ms, MOST_ACTIVE_MS),
    )


def _sayable(said: N | None, most: N) -> N | None:
    """Return what a client said of time; None where a submission could not say it."""
    return said if said is not None and 0 <= said <= most else None
