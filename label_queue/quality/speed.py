"""Speed: labels that came faster than the text can be read."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.chat import in_one_text
from protocol.labels import AnswerEvent, Assignment, ComparisonQuery


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """How many labels came too fast."""

    fast: int
    num_labels: int
    """Labels that judge the text: skips and reports need no reading."""

    @property
    def share(self) -> float | None:
        """Share of the labels that came too fast; None without labels."""
        return self.fast / self.num_labels if self.num_labels else None


def is_fast(
    query: ComparisonQuery, assignment: Assignment, submit: AnswerEvent, tokens_per_s: float
) -> bool | None:
    """Say whether a first answer came too fast; None of what needs no reading, or was imported."""
    if submit.outcome in ("skip", "flag") or not was_leased(assignment):
        return None
    return num_displayed_tokens(query) > tokens_per_s * time_taken_s(assignment, submit)


def was_leased(assignment: Assignment) -> bool:
    """Say whether somebody had a task here; what was imported was given nobody knows how fast."""
    return assignment.lease_until > assignment.created_at


def time_taken_s(assignment: Assignment, event: AnswerEvent) -> float:
    """Return how long somebody worked on a task: as the client says, within the server's clock.

    Without a word of the client it is from the lease to the label; nobody was active for longer.
    """
    elapsed_s = max(0.0, event.received_at - assignment.created_at)  # a clock may be set back
    return elapsed_s if event.active_ms is None else min(event.active_ms / 1000, elapsed_s)


def num_displayed_tokens(query: ComparisonQuery) -> int:
    """Return the tokens of prompt and candidates; of a text without token ids, its words."""
    prompt = in_one_text(query.prompt_text, query.prompt_messages)
    count = len(query.prompt_token_ids) or len(prompt.split())
    return count + sum(len(each.token_ids) or len(each.text.split()) for each in query.candidates)
