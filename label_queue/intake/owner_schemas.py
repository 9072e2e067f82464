"""The bodies that cross the owner's API; the labelers' are in `schemas`.

    GET  /api/v1/owner/overview                             200 Overview
    GET  /api/v1/owner/stream                               text/event-stream, `overview` events
    POST /api/v1/owner/labelers              NewLabeler   → 200 Admission
    GET  /api/v1/owner/labelers/{id}/exclusion?from_seq=    200 ExclusionPreview
    POST /api/v1/owner/labelers/{id}/exclude Exclude      → 200 ExclusionPreview
    POST /api/v1/owner/labelers/{id}/reinstate  Reason    → 200 ExclusionPreview
    POST /api/v1/owner/labelers/{id}/revoke     Reason    → 204 its tokens, links, sessions are void
    POST /api/v1/owner/cord/pull                Reason    → 200 CordBody
    POST /api/v1/owner/cord/release             Reason    → 200 CordBody
    POST /api/v1/owner/rollback                 Rollback  → 200 CordBody
    POST /api/v1/owner/gold                     NewGold   → 200 GoldMade

All want a token or session whose role is owner: 403 otherwise.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from label_queue.ids import Identifier, PersonId
from label_queue.intake.schemas import Body, PromptBody
from protocol.labels import QueryKind, QueryPurpose
from protocol.settings import Stored

LabelerState = Literal["probation", "active", "suspended", "excluded"]
ReasonText = Annotated[str, Field(min_length=1, max_length=1_000)]


class Reason(Body):
    """Why; it is kept in the ledger."""

    reason: ReasonText


class Exclude(Reason):
    """Leave a labeler's labels out of every fit from now on."""

    from_seq: Stored = 0
    """Only those with this sequence number or a later one; 0: all."""


class Rollback(Reason):
    """Restore a policy version. The cord is pulled for it, and stays so until it is released."""

    to_version: Stored


class NewLabeler(Body):
    """Somebody to admit, or to give another link."""

    labeler_id: PersonId
    role: Literal["labeler", "owner"] = "labeler"


class Admission(Body):
    """How they enter: once by the link in a browser, or with the token as a client."""

    labeler_id: str
    link: str
    """Path of the one-time link, e.g. "/enter/…"."""
    token: str
    """For `Authorization: Bearer`; shown this once."""


class NewGold(Body):
    """A past query whose right answer the owner knows: from now on it is asked as gold."""

    query_id: Identifier
    choice: Identifier
    """The right candidate's id."""


class GoldMade(Body):
    """The gold query that was made."""

    query_id: str


class CordBody(Body):
    """How the cord hangs."""

    is_pulled: bool
    pulled_by: str
    reason: str
    pulled_at: float
    rollback_to: int | None
    offered_rollback: int | None


class Progress(Body):
    """The stream of labels against its schedule, and how online the run is."""

    episodes: int
    policy_version: int
    reward_version: int
    labels_total: int
    labels_scheduled: int
    """l(n)."""
    labels_received: int
    """That count toward l(n)."""
    labels_held: int
    """Of labelers on probation or suspended: stored, and not learned from yet."""
    queries_outstanding: int
    rate_per_min: float
    label_latency_p50_s: float | None
    """Median, from the making of a query to a label on it."""
    label_to_policy_p50_s: float | None
    label_to_policy_p95_s: float | None
    coverage: float | None
    """Median over recent queries, in [0, 1]."""
    agreement_alpha: float | None
    """Krippendorff's α, nominal."""
    winrate_vs_reference: float | None


class Moment(Body):
    """How many labels had come, and how many were due, at one time of the run."""

    at: float
    received: int
    """Of those that count now."""
    scheduled: int
    """l(n)."""


class ConnectorRow(Body):
    """How it stands with one outside labelling tool."""

    name: str
    state: str
    """"starting", "ok", or "failing: …" with why."""
    last_sweep_at: float | None


class LabelerRow(Body):
    """One labeler and what is known of how well they label. None: not enough to say."""

    labeler_id: str
    state: LabelerState
    labels: int
    labels_held: int
    excluded_from: int | None
    gold_right: int
    gold_wrong: int
    gold_accuracy: float
    """Mean of Beta(8 + right, 2 + wrong)."""
    gold_low: float
    gold_high: float
    """Its central 95 % interval."""
    self_agreement: float | None
    self_repeats: int
    peer_agreement: float | None
    """With others on the same queries, leave-one-out."""
    peer_labels: int
    position_z: float | None
    fast_share: float | None
    """Of labels faster than 20 tokens/s of displayed text."""
    reliability: float | None
    """a_ℓ in (0, 1]."""
    weight_share: float
    """Of the next fit."""
    flags: tuple[str, ...]
    """E.g. "position", "speed", "self", "gold", "drift", "rate" (too many requests)."""
    last_label_at: float | None


class Vote(Body):
    """One labeler's answer to a disputed query."""

    labeler_id: str
    choice: str | None
    """The candidate_id; None for a tie."""


class DisputedCandidate(Body):
    """A candidate as the owner sees it."""

    candidate_id: str
    text: str


class Disagreement(Body):
    """A query on which labelers differ, newest first."""

    query_id: str
    kind: QueryKind
    purpose: QueryPurpose
    prompt: PromptBody
    candidates: tuple[DisputedCandidate, ...]
    votes: tuple[Vote, ...]


class Overview(Body):
    """All that the owner's page shows."""

    run_id: str
    at: float
    progress: Progress
    history: tuple[Moment, ...]
    """From the first label on, evenly spaced; at most 120."""
    cord: CordBody
    connectors: tuple[ConnectorRow, ...]
    labelers: tuple[LabelerRow, ...]
    disagreements: tuple[Disagreement, ...]
    is_closed: bool
    activity: str = ""
    """What the run is doing now, e.g. "waiting for people"; empty before it said so."""


class ExclusionPreview(Body):
    """What an exclusion or reinstatement changes, or changed."""

    labeler_id: str
    from_seq: int
    labels: int
    """That leave, or come back."""
    weight_share: float
    """Of the present fit's weight, in [0, 1]."""
    forces_refit: bool
    """Above 2 % of the weight the next fit is a refit, at once."""
    reward_versions: tuple[int, ...]
    """That learned from them."""
    policy_versions: tuple[int, int] | None
    """First and last trained on such a reward; None: no policy was."""
