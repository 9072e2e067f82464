"""What others wrote cannot act on a terminal."""

from __future__ import annotations

import pytest

from cluster.watching.inert_text import MOST_CHARACTERS, inert


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("it shouts", "it shouts"),
        ("two\n lines\tand a tab", "two lines and a tab"),
        ("\x1b[2Jgone\x07", "\\x1b[2Jgone\\x07"),
        ("left\u202eright", "left\\u202eright"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("ünïcode π", "ünïcode π"),
    ],
)
def test_controls_become_visible(text: str, shown: str) -> None:
    assert inert(text) == shown


def test_long_text_is_cut() -> None:
    assert inert("a" * 1000) == "a" * (MOST_CHARACTERS - 1) + "…"
