"""What the labelers of a run may know of it: nothing that moves by what they themselves answer.

A count of labels that train, or of answers still wanted, read before and after an answer, tells
whose task was gold, and who is on probation, suspended or a judge. The owner's overview has them.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.labels import QueryKind


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """What a run wants of those who label."""

    run_id: str
    kind: QueryKind
    guideline_version: str
    labels_total: int
    """N, labels wanted over the whole run."""
    labels_scheduled: int
    """l(n), labels wanted by now."""
    is_closed: bool
    """Whether the run wants no more labels: a labeler may stop."""
