"""All that the owner is shown."""

from __future__ import annotations

from dataclasses import dataclass

from label_queue.folds.shown import ShownCandidate, ShownPrompt
from label_queue.outside import ConnectorHealth
from label_queue.quality.assessment import Assessment
from protocol.cord import CordState
from protocol.labels import QueryKind, QueryPurpose


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The stream of labels against its schedule, and how online the run is."""

    episodes: int
    policy_version: int
    reward_version: int
    labels_total: int
    labels_scheduled: int
    """l(n), labels wanted by now."""
    labels_received: int
    """Labels that count toward l(n)."""
    labels_held: int
    """Labels of labelers on probation or suspended: stored, and not learned from yet."""
    queries_outstanding: int
    rate_per_min: float
    label_latency_p50_s: float | None
    """Median time from the making of a query to a label on it, seconds."""
    label_to_policy_p50_s: float | None
    label_to_policy_p95_s: float | None
    coverage: float | None
    """Median coverage of recent queries, in [0, 1]."""
    agreement_alpha: float | None
    """Krippendorff's α for nominal data."""
    winrate_vs_reference: float | None
    """Share of choices that prefer π to ρ, over the whole run, in [0, 1]."""
    winrate_recent: float | None
    """The same of the newest votes: of the policy as it is now."""
    winrate_recent_low: float | None
    """Lower end of its 95 % interval."""
    winrate_recent_high: float | None
    """Upper end of its 95 % interval."""
    winrate_recent_labels: int
    """How many votes those are."""
    winrate_judges: float | None = None
    """By judges, on the newest queries that they and those who label to train answered."""
    winrate_gap: float | None = None
    """By those who label to train, on the same queries, minus that."""
    winrate_gap_low: float | None = None
    """Lower end of its 95 % interval."""
    winrate_gap_high: float | None = None
    """Upper end of its 95 % interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """How many labels had come, and how many were due, at one time of the run."""

    at: float
    received: int
    """Labels received by then, of those that count now."""
    scheduled: int
    """l(n), labels wanted by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """One labeler's answer to a disputed query."""

    labeler_id: str
    choice: str | None
    """The candidate_id chosen; None for a tie."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """A query on which labelers differ, newest first."""

    query_id: str
    kind: QueryKind
    purpose: QueryPurpose
    prompt: ShownPrompt
    candidates: tuple[ShownCandidate, ...]
    votes: tuple[Vote, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """The tasks that one labeler has on lease now."""

    labeler_id: str
    num_tasks: int
    since: float
    """When they were handed the one they hold longest, Unix seconds."""
    is_overdue: bool
    """Whether they hold it for longer than a lease lasts without being renewed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """All that the owner's page shows."""

    run_id: str
    at: float
    progress: Progress
    history: tuple[Moment, ...]
    """Moments of the run from the first label on, evenly spaced in time; at most 120."""
    cord: CordState
    connectors: tuple[ConnectorHealth, ...]
    labelers: tuple[Assessment, ...]
    disagreements: tuple[Disagreement, ...]
    is_closed: bool
    held: tuple[Holding, ...] = ()
    """Who holds tasks now, by name."""
    active: tuple[str, ...] = ()
    """Who is active now, by name: those whom the metric `labelers/active` counts, no judges."""
    activity: str = ""
    """What the run is doing now, e.g. "waiting for labels"; empty before it said so."""
    trouble: str = ""
    """What must be done for the run to go on, e.g. that its disk be freed; empty where it does."""
