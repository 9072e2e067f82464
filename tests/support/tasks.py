"""Tasks as the page gets them."""

from __future__ import annotations

from collections.abc import Sequence

from label_queue.folds.shown import ShownCandidate, ShownPrompt
from label_queue.labeling.tasks import Task
from protocol.labels import QueryKind
from protocol.messages import ChatMessage
from protocol.text_tree import TextNode

TEXTS = (
    " warm and generous, like a good neighbour.",
    " fine, I suppose.",
    " cold, and so was the waiter.",
    " gone before we sat down.",
)


def make_task(
    number: int = 0,
    *,
    kind: QueryKind = "best_of_k",
    texts: Sequence[str] = TEXTS,
    prompt: str | Sequence[ChatMessage] = "the soup was",
    language: str = "",
    node: TextNode | None = None,
) -> Task:
    """Task "a0" of query "q0" with candidates "a0-0", "a0-1" and so on."""
    return Task(
        assignment_id=f"a{number}",
        query_id=f"q{number}",
        run_id="run-1",
        kind=kind,
        prompt=ShownPrompt(text=prompt, language=language, node=node)
        if isinstance(prompt, str)
        else ShownPrompt(text="", messages=tuple(prompt), language=language),
        candidates=tuple(
            ShownCandidate(candidate_id=f"a{number}-{i}", text=text) for i, text in enumerate(texts)
        ),
        lease_until=4e9,
        guideline_version="1",
    )
