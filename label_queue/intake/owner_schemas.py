"""What crosses the owner's API, and the bodies that are its alone; the labelers' are in `schemas`.

    GET  /api/v1/owner/overview                             200 Overview
    GET  /api/v1/owner/stream                               text/event-stream, `overview` events
    POST /api/v1/owner/labelers              NewLabeler   → 200 Admission
    GET  /api/v1/owner/labelers/{id}/exclusion?from_seq=    200 ExclusionPreview
    POST /api/v1/owner/labelers/{id}/exclude Exclude      → 200 ExclusionPreview
    POST /api/v1/owner/labelers/{id}/reinstate  Reason    → 200 ExclusionPreview
    POST /api/v1/owner/labelers/{id}/revoke     Reason    → 204 its tokens, links, sessions are void
    POST /api/v1/owner/cord/pull                Reason    → 200 CordState
    POST /api/v1/owner/cord/release             Release   → 200 CordState
    POST /api/v1/owner/rollback                 Rollback  → 200 CordState
    POST /api/v1/owner/gold                     NewGold   → 200 GoldMade

What is not defined here is what the label queue itself gives (`label_queue.oversight`, and
`label_queue.labeling` for who is let in). All want a token or session whose role is owner: 403
otherwise.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from label_queue.ids import Identifier, PersonId
from label_queue.intake.schemas import Body
from protocol.settings import Stored

ReasonText = Annotated[str, Field(min_length=1, max_length=1_000)]


class Reason(Body):
    """Why; it is kept in the ledger."""

    reason: ReasonText


class Release(Reason):
    """Take away one of the reasons for which the cord is pulled; with the last the line goes on."""

    pull_id: Identifier | None = None
    """Which, by its `pull_id` in the cord's state; none: the one shown, which is the oldest."""


class Exclude(Reason):
    """Leave a labeler's labels out of every fit from now on."""

    from_seq: Stored = 0
    """Sequence number from which on the labeler's labels are left out; 0: all."""


class Rollback(Reason):
    """Restore a policy version. The cord is pulled for it, and stays so until it is released."""

    to_version: Stored


class NewLabeler(Body):
    """Somebody to admit, or to give another link."""

    labeler_id: PersonId
    role: Literal["labeler", "owner"] = "labeler"


class NewGold(Body):
    """A past query whose right answer the owner knows: from now on it is asked as gold."""

    query_id: Identifier
    choice: Identifier
    """Id of the right candidate."""


class GoldMade(Body):
    """The gold query that was made."""

    query_id: str
