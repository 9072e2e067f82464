"""A query as it is leased to a labeler."""

from __future__ import annotations

from dataclasses import dataclass

from label_queue.folds.shown import ShownCandidate, ShownPrompt, shown_candidates, shown_prompt
from label_queue.quality.gold_tasks import shown_query_id
from protocol.labels import Assignment, ComparisonQuery, QueryKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One comparison leased to one labeler."""

    assignment_id: str
    query_id: str
    run_id: str
    kind: QueryKind
    prompt: ShownPrompt
    candidates: tuple[ShownCandidate, ...]
    """Candidates in the order to show."""
    lease_until: float
    """When the lease ends, Unix seconds on the server's clock; a heartbeat renews it."""
    guideline_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """The task is held on, or it is not."""

    lease_until: float
    """When the lease ends, Unix seconds on the server's clock."""
    is_held: bool
    """Whether the task is still this labeler's; False: it may go to others, or went. An answer to
    it is taken all the same."""


def as_task(query: ComparisonQuery, assignment: Assignment, lease_until: float) -> Task:
    """Return an assignment's query in the order drawn for it: no model, version or purpose."""
    shown = {candidate.candidate_id: candidate for candidate in shown_candidates(query)}
    return Task(
        assignment_id=assignment.assignment_id,
        query_id=shown_query_id(query.query_id),
        run_id=query.run_id,
        kind=query.kind,
        prompt=shown_prompt(query),
        candidates=tuple(shown[name] for name in assignment.shown_order),
        lease_until=lease_until,
        guideline_version=assignment.guideline_version,
    )
