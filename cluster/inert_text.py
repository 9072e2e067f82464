"""What people and models wrote, made fit for a terminal: one line, and nothing that acts."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

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


def is_utf8(text: str) -> bool:
    """Whether text of a command line is UTF-8: other bytes come as lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def shell_word(path: Path) -> str:
    """Return a path as one word of a command that a person may copy into a shell."""
    text = str(path)
    if text.startswith("-"):
        text = f"./{text}"  # else it were an option
    if text.isprintable():
        return shlex.quote(text)
    return f"$'{''.join(map(_escaped, text))}'"


def _escaped(character: str) -> str:
    if character.isprintable():
        return f"\\{character}" if character in "\\'" else character
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(character))
