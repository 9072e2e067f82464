"""A query as a labeler sees it."""

from __future__ import annotations

from label_queue.intake.schemas import CandidateBody, PromptBody, Task
from label_queue.quality.gold_tasks import shown_query_id
from protocol.labels import Assignment, ComparisonQuery


def prompt_body(query: ComparisonQuery) -> PromptBody:
    """Return a query's prompt as people see it."""
    return PromptBody(text=query.prompt_text, messages=query.prompt_messages)


def as_task(query: ComparisonQuery, assignment: Assignment, lease_until: float) -> Task:
    """Return an assignment's query in the order drawn for it: no model, version or purpose."""
    texts = {candidate.candidate_id: candidate.text for candidate in query.candidates}
    return Task(
        assignment_id=assignment.assignment_id,
        query_id=shown_query_id(query.query_id),
        run_id=query.run_id,
        kind=query.kind,
        prompt=prompt_body(query),
        candidates=tuple(
            CandidateBody(candidate_id=name, text=texts[name]) for name in assignment.shown_order
        ),
        lease_until=lease_until,
        guideline_version=assignment.guideline_version,
    )
