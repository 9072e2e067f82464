"""What begins once, whoever writes its first record: a page and a tool may be about to at once."""

from __future__ import annotations

Beginning = tuple[str, ...]
"""A kind, and a name of that kind."""


def the_label(label_id: str) -> Beginning:
    """Return how a label begins: with its first answer."""
    return "label", label_id


def the_assignment(labeler_id: str, query_id: str) -> Beginning:
    """Return how somebody's work on a query begins: with their one assignment of it."""
    return "assignment", labeler_id, query_id
