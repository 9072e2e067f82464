"""What the labelers of a run may know of it."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.labels import QueryKind


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """How the labelling of a run stands, for those who label."""

    run_id: str
    kind: QueryKind
    guideline_version: str
    labels_total: int
    """N, labels wanted over the whole run."""
    labels_received: int
    labels_scheduled: int
    """l(n), labels wanted by now."""
    queries_outstanding: int
    """Answers asked for and not yet given."""
    is_closed: bool
    """Whether the run wants no more labels: a labeler may stop."""
