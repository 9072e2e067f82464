"""A long text cut into passages at the ends of its sentences."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

_SENTENCE_ENDS = re.compile(
    r"""(?<=[.!?…])["'”’»)\]]*\s+|[。！？]["'”’»」』）)\]]*\s*|\n\s*\n\s*"""
)
_WORDS = re.compile(r"\S+\s*")


def passages(text: str, most_tokens: int, count: Callable[[str], int]) -> list[str]:
    """Cut a text into passages of as many whole sentences as fit, in order.

    All of the text is in them but white space at their ends. A sentence that does not fit into one
    passage is cut between words, and a word that does not within.

    Args:
        text: Any text.
        most_tokens: N, tokens of a passage at most, each of its sentences counted by itself.
        count: Returns the number of tokens of a text.

    Returns:
        No passage is blank; a blank text has none.
    """
    found = [""]
    num_tokens = 0
    for piece, more in _pieces(text, most_tokens, count):
        if num_tokens + more > most_tokens:
            found.append("")
            num_tokens = 0
        found[-1] += piece
        num_tokens += more
    return [passage.strip() for passage in found if passage.strip()]


def _pieces(text: str, most_tokens: int, count: Callable[[str], int]) -> Iterator[tuple[str, int]]:
    """Give a text's sentences with their tokens, of one that is too long its words, or parts."""
    for sentence in _sentences(text.strip()):
        num_tokens = count(sentence)
        if num_tokens <= most_tokens:
            yield sentence, num_tokens
            continue
        for word in _WORDS.findall(sentence):
            yield from _fitting(word, most_tokens, count)


def _sentences(text: str) -> Iterator[str]:
    """Give a text's sentences, each with the white space after it."""
    start = 0
    for end in _SENTENCE_ENDS.finditer(text):
        yield text[start : end.end()]
        start = end.end()
    if start < len(text):
        yield text[start:]


def _fitting(word: str, most_tokens: int, count: Callable[[str], int]) -> Iterator[tuple[str, int]]:
    num_tokens = count(word)
    if len(word) < 2 or num_tokens <= most_tokens:
        yield word, num_tokens
        return
    half = len(word) // 2
    yield from _fitting(word[:half], most_tokens, count)
    yield from _fitting(word[half:], most_tokens, count)
