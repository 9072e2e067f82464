"""What an error of somebody else's says, for a line of ours that quotes it."""

from __future__ import annotations

EXCERPT = 200
"""Characters that are quoted at most, where nothing else is said."""


def said_by(error: BaseException, most: int | None = EXCERPT) -> str:
    """Return an error's words in one line, or its class's name where it says nothing.

    Args:
        error: Anything.
        most: Characters of it at most; None: all.
    """
    return " ".join(str(error).split())[:most] or type(error).__name__
