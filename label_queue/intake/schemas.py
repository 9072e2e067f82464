"""The bodies that cross the labelling API, and nothing heavier than pydantic.

    GET  /api/v1/tasks/next?wait_s=20    200 Task | 204 nothing to label yet
    POST /api/v1/labels                  application/json      LabelSubmission → 200 LabelAnswer
                                         application/x-ndjson  one a line → 200, LineAnswer a line
    POST /api/v1/assignments/{assignment_id}/heartbeat         200 Heartbeat
    GET  /api/v1/tasks/held              200 HeldTasks: what this labeler holds, after a refresh
    GET  /api/v1/run                                           200 RunInfo
    GET  /api/v1/me                                            200 Me
    POST /api/v1/cord                    CordPull            → 200 CordStanding

Every request carries `Authorization: Bearer TOKEN`, or the cookie of a session and, unless it only
reads, its CSRF token in `X-Andon-CSRF`; either alone says who the labeler is. A
task looks like this, its candidates in the order drawn for this labeler, models unnamed:

    {"assignment_id": "0199…", "query_id": "0199…", "run_id": "demo-1", "kind": "best_of_k",
     "prompt": {"text": "the soup here was", "messages": []},
     "candidates": [{"candidate_id": "c-9f2e…", "text": " warm and …"}, …],
     "lease_until": 1760000000.0, "guideline_version": "1"}

a chat has turns in place of a text, {"text": "", "messages": [{"role": "user", "content": "…"}]},
and the smallest answer is like this:

    {"assignment_id": "0199…", "outcome": "choice", "choice": "c-9f2e…"}

The idempotency key is `assignment_id:revision`: the same body again gets the first answer again,
another body 409. Refusals are `ErrorAnswer` with 401, 403, 404, 409, 413, 422 or 429 (Retry-After).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from label_queue.ids import Identifier
from protocol.labels import Outcome, QueryKind
from protocol.messages import ChatMessage

ClientTime = Annotated[float, Field(ge=0, le=1e12)]


class Body(BaseModel):
    """What all bodies share: nothing unknown, nothing coerced, nothing infinite."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class PromptBody(Body):
    """The prompt as shown: a text, or the chat so far."""

    text: str
    """A plain prompt; empty for a chat."""
    messages: tuple[ChatMessage, ...] = ()
    """The chat, oldest turn first; empty for a plain prompt."""


class CandidateBody(Body):
    """A response as shown: neither model nor version."""

    candidate_id: Identifier
    """Opaque; what a choice or ranking names."""
    text: str


class Task(Body):
    """One comparison leased to one labeler."""

    assignment_id: Identifier
    query_id: Identifier
    run_id: Identifier
    kind: QueryKind
    prompt: PromptBody
    candidates: tuple[CandidateBody, ...]
    """In the order to show."""
    lease_until: float
    """Unix seconds on the server's clock; a heartbeat renews it."""
    guideline_version: str


class Span(Body):
    """Characters of a candidate that the labeler marked."""

    candidate_id: Identifier
    start: Annotated[int, Field(ge=0)]
    end: Annotated[int, Field(ge=1)]
    mark: Literal["good", "bad"]


class LabelSubmission(Body):
    """An answer to a task. Only `assignment_id` and `outcome` are always required."""

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
    """How much better: 1 slightly … 4 far."""
    spans: Annotated[tuple[Span, ...], Field(max_length=256)] | None = None
    comment: Annotated[str, Field(max_length=4_000)] | None = None
    reason: Annotated[str, Field(max_length=1_000)] | None = None
    """Why it was skipped or flagged."""
    shown_at: ClientTime | None = None
    """This and the next two: Unix seconds on the client's clock. Stored, never used for order."""
    first_action_at: ClientTime | None = None
    submitted_at: ClientTime | None = None
    active_ms: Annotated[int, Field(ge=0, le=86_400_000)] | None = None
    """Milliseconds spent on the task; sets how long leases last."""


class LabelAnswer(Body):
    """The label is on disk. A repeat of the request gets the same answer."""

    event_id: str
    """"assignment_id:revision"."""
    seq: int
    """Its place in the ledger."""
    received_at: float
    """Unix seconds on the server's clock."""


class LineAnswer(Body):
    """What became of one line of a batch."""

    line: int
    """From 0, blank lines counted."""
    status: int
    """The HTTP status this line would have had alone."""
    answer: LabelAnswer | None = None
    error: ErrorAnswer | None = None


class Heartbeat(Body):
    """The lease goes on."""

    lease_until: float


class RunInfo(Body):
    """What the labelers of a run may know of it."""

    run_id: str
    kind: QueryKind
    guideline_version: str
    labels_total: int
    """N, wanted over the whole run."""
    labels_received: int
    labels_scheduled: int
    """l(n), wanted by now."""
    queries_outstanding: int
    """Answers asked for and not yet given."""
    is_closed: bool
    """True once the run wants no more labels: a labeler may stop."""


class HeldTasks(Body):
    """Tasks leased to this labeler and not answered yet, oldest first: a refreshed page goes on."""

    tasks: tuple[Task, ...]


class LastAnswer(Body):
    """The labeler's newest answer, which they may still change."""

    task: Task
    submission: LabelSubmission
    """As it stands; a change of mind is this with `revision` one higher."""


class Me(Body):
    """What a labeler sees of themself: their work, not their quality."""

    labeler_id: str
    labels: int
    """Given so far."""
    labels_today: int
    """In the last 24 hours."""
    last: LastAnswer | None
    guidelines: str
    """Markdown from the config; empty if there is none."""
    guideline_version: str
    cord: CordStanding


class CordPull(Body):
    """Stop the line: something is wrong with the model."""

    reason: Annotated[str, Field(min_length=1, max_length=1_000)]


class CordStanding(Body):
    """Whether the line is stopped, by whom and why."""

    is_pulled: bool
    pulled_by: str
    reason: str


class ErrorAnswer(Body):
    """Why a request was refused."""

    error: str
    """The kind, e.g. "InvalidLabel"."""
    message: str
    """What is wrong and what to do about it."""
    field: str | None = None
    """The field at fault, e.g. "choice" or "spans.0.end"."""


LineAnswer.model_rebuild()
Me.model_rebuild()
