"""What crosses the labelling API, and the bodies that are this API's alone.

    GET  /api/v1/tasks/next?wait_s=20    200 Task | 204 nothing to label yet
    POST /api/v1/labels                  application/json      LabelSubmission → 200 LabelAnswer
                                         application/x-ndjson  one a line → 200, LineAnswer a line
    POST /api/v1/assignments/{assignment_id}/heartbeat         200 Renewal
    GET  /api/v1/tasks/held              200 HeldTasks: what this labeler holds, after a refresh
    GET  /api/v1/run                                           200 RunInfo
    GET  /api/v1/me                                            200 Me
    POST /api/v1/cord                    CordPull            → 200 CordState, as labelers see it

What is not defined here is what the label queue itself takes and gives (`label_queue.labeling`).

Every request carries `Authorization: Bearer TOKEN`, or the cookie of a session and, unless it only
reads, its CSRF token in `X-Andon-CSRF`; either alone says who the labeler is. A
task looks like this, its candidates in the order drawn for this labeler, models unnamed:

    {"assignment_id": "0199…", "query_id": "0199…", "run_id": "demo-1", "kind": "best_of_k",
     "prompt": {"text": "the soup here was", "messages": [], "language": "", "node": null},
     "candidates": [{"candidate_id": "c-9f2e…", "text": " warm and …"}, …],
     "lease_until": 1760000000.0, "guideline_version": "1"}

a chat has turns in place of a text, {"text": "", "messages": [{"role": "user", "content": "…"}]},
a prompt whose source says its language has it, "language": "de", and the others are in the run's;
the prompt of a node of a long text says which it is, here the first of the second part's three,
"node": {"document_id": "books-000017", "path": [2, 1], "siblings": [2, 3], "height": 0, …};
the smallest answer is like this:

    {"assignment_id": "0199…", "outcome": "choice", "choice": "c-9f2e…"}

The idempotency key is `assignment_id:revision`: the same body again gets the first answer again,
another body 409. Refusals are `ErrorAnswer` with 401, 403, 404, 408, 409, 413, 415, 422 or 429
(Retry-After).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from label_queue.labeling.submissions import STRICT, LabelAnswer

NOT_FOR_LABELERS = {"pulled_at", "rollback_to", "offered_rollback", "reasons"}
"""Fields of the cord's state that are the owner's to see."""


def _says_something(reason: str) -> str:
    """Return a reason as it is. Raises PydanticCustomError where there is nothing to see of it."""
    if not any(each.isprintable() and not each.isspace() for each in reason):
        raise PydanticCustomError("blank", "it has only blanks: say why")
    return reason


ReasonText = Annotated[str, Field(min_length=1, max_length=1_000), AfterValidator(_says_something)]
"""Why somebody acts."""


class Body(BaseModel):
    """What all bodies share: nothing unknown, nothing coerced, nothing infinite."""

    model_config = ConfigDict(frozen=True, **STRICT)


class LineAnswer(Body):
    """What became of one line of a batch."""

    line: int
    """Number of the line in the batch, from 0, blank lines counted."""
    status: int
    """The HTTP status this line would have had alone."""
    answer: LabelAnswer | None = None
    error: ErrorAnswer | None = None


class CordPull(Body):
    """Stop the line: something is wrong with the model."""

    reason: ReasonText


class ErrorAnswer(Body):
    """Why a request was refused."""

    error: str
    """Kind of the error, e.g. "InvalidLabel"."""
    message: str
    """What is wrong and what to do about it."""
    field: str | None = None
    """The field at fault, e.g. "choice" or "spans.0.end"."""


LineAnswer.model_rebuild()
