"""Which words a simulated labeler marks good or bad: those that the gold score turns on.

A word is worth what the score loses without it. So "not" in "not bad" is good by itself, and a word
said again is worth little: whatever a gold score reads is asked of it, and no list of words is
needed. A response of W words is scored W + 1 times.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from label_queue.folds.shown import ShownCandidate
from label_queue.labeling.submissions import MOST_SPANS, Span
from label_queue.simulated.config import LabelerProfile
from label_queue.simulated.gold.port import Gold
from protocol.labels import Mark

_WORDS = re.compile(r"\S+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One word of a response."""

    start: int
    """Its first character."""
    end: int
    """The character after its last."""
    worth: float
    """What the gold score has by it."""


def words_of(score: Callable[[str], float], response: str) -> list[Word]:
    """Return the words of a response, each with its worth; what holds no letter is none.

    Args:
        score: The gold score of a response to the prompt.
        response: As it is shown.
    """
    whole = score(response)
    found = []
    for match in _WORDS.finditer(response):
        if any(character.isalnum() for character in match.group()):
            without = response[: match.start()] + response[match.end() :]
            found.append(Word(start=match.start(), end=match.end(), worth=whole - score(without)))
    return found


def marks_of(
    words: Sequence[Word], profile: LabelerProfile, num_given: int, rng: random.Random
) -> list[tuple[int, int, Mark]]:
    """Return what a labeler marks of a response: start, end, and how.

    Args:
        words: Of the response.
        profile: Who marks.
        num_given: Labels this labeler gave before.
        rng: Says which of the words are marked, and where a mark slips to the other side.
    """
    found: list[tuple[int, int, Mark]] = []
    for word in words:
        is_marked, slips = rng.random() < profile.marks, rng.random() < profile.eps_mistake
        if is_marked and abs(word.worth) >= profile.marks_from:
            is_good = (word.worth > 0) != (slips != profile.has_turned(num_given))
            found.append((word.start, word.end, "good" if is_good else "bad"))
    return found


def spans_of(
    candidates: Sequence[ShownCandidate],
    prompt: str,
    profile: LabelerProfile,
    gold: Gold,
    num_given: int,
) -> tuple[Span, ...]:
    """Return all that a labeler marks of a task's candidates.

    The draws are of a generator of their own, so that whoever begins to mark chooses as before.
    """
    rng = random.Random(f"{profile.seed}/marks/{num_given}")

    def score(response: str) -> float:
        return gold.score(prompt, response, profile.gamma)

    found = [
        Span(candidate_id=candidate.candidate_id, start=start, end=end, mark=mark)
        for candidate in candidates
        for start, end, mark in marks_of(words_of(score, candidate.text), profile, num_given, rng)
    ]
    return tuple(found[:MOST_SPANS])
