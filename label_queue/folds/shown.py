"""A query as people see it: neither models, versions nor what it is for."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.labels import Candidate, ComparisonQuery
from protocol.messages import ChatMessage
from protocol.text_tree import TextNode
from protocol.tokenizing import PolicyTokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownPrompt:
    """The prompt as shown: a text, or the chat so far."""

    text: str
    """The plain prompt; empty for a chat."""
    messages: tuple[ChatMessage, ...] = ()
    """The chat, oldest turn first; empty for a plain prompt."""
    language: str = ""
    """Language of prompt and responses (BCP 47), where it is said; "": `prompts.language`."""
    node: TextNode | None = None
    """Where in a long text's tree it stands; None: it is of no such text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownCandidate:
    """A response as shown: neither model nor version."""

    candidate_id: str
    """Opaque id, which a choice or ranking names."""
    text: str


def shown_prompt(query: ComparisonQuery) -> ShownPrompt:
    """Return a query's prompt as people see it."""
    return ShownPrompt(
        text=query.prompt_text,
        messages=query.prompt_messages,
        language=query.prompt_language,
        node=query.prompt_node,
    )


def shown_candidates(query: ComparisonQuery) -> tuple[ShownCandidate, ...]:
    """Return a query's candidates as people see them, in the query's order."""
    return tuple(
        ShownCandidate(candidate_id=each.candidate_id, text=each.text) for each in query.candidates
    )


def is_shown_by(candidate: Candidate, tokenizer: PolicyTokenizer) -> bool:
    """Whether a tokenizer shows a response's tokens as people saw them, an end token aside.

    Marks count characters of what people saw, and a fit finds their tokens by what its policy's
    tokenizer shows: where the two differ, other words would be marked.
    """
    return tokenizer.shown_text(candidate.token_ids).startswith(candidate.text)
