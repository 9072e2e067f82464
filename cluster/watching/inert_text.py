"""What people and models wrote, made fit for a terminal: one line, and nothing that acts."""

from __future__ import annotations

MOST_CHARACTERS = 300


def inert(text: str) -> str:
    """Return a text as one line of printable characters, the rest shown as escapes; cut if long.

    Control characters would move the cursor or recolour the terminal, and bidirectional overrides
    would reorder what follows.
    """
    shown = one_line(" ".join(text.split()))
    return shown if len(shown) <= MOST_CHARACTERS else shown[: MOST_CHARACTERS - 1] + "…"


def one_line(text: str) -> str:
    """Return a text whole, as one line of printable characters, the rest shown as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
