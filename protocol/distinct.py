"""What a comparison is: two or more kept responses, no two of them alike.

Two responses are alike where their token ids are the same, since nothing can be learned from a
preference between them, or where people see the same, since nobody can have one. What reads this
rule: the drafts of the policy loop, the queries made of them, gold, export and import.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Protocol

BLANK = "\t\n \u00a0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u202f\u205f\u3000"
"""Tab, line feed and the spaces of all widths. A page names what else has no shape."""


class Response(Protocol):
    """What is asked of a response: a `Rollout`, or a `Candidate` made of one."""

    @property
    def text(self) -> str:
        """The response as people are shown it."""
        ...

    @property
    def kept_token_ids(self) -> tuple[int, ...]:
        """[T]; empty where only the text is known."""
        ...


def seen(text: str) -> str:
    """Return what tells texts apart for the eye.

    White space around a text leaves no trace on a page, nor does the way an accented letter is
    composed.
    """
    return unicodedata.normalize("NFC", text).strip(BLANK)


def are_alike(one: Response, other: Response) -> bool:
    """Say whether there is nothing to choose between two responses."""
    ids = one.kept_token_ids
    return bool(ids and ids == other.kept_token_ids) or seen(one.text) == seen(other.text)


def is_like_any(response: Response, others: Iterable[Response]) -> bool:
    """Say whether a response is like one of the others."""
    return any(are_alike(response, other) for other in others)


def first_alike(responses: Sequence[Response]) -> tuple[int, int] | None:
    """Return the places of the first two that are alike, e.g. (0, 2); None where none are."""
    for later, response in enumerate(responses):
        for earlier in range(later):
            if are_alike(responses[earlier], response):
                return earlier, later
    return None


def distinct_places(responses: Sequence[Response]) -> list[int]:
    """Return the places of responses that are like none before them."""
    places: list[int] = []
    for place, response in enumerate(responses):
        if not is_like_any(response, (responses[earlier] for earlier in places)):
            places.append(place)
    return places


def is_comparison(responses: Sequence[Response]) -> bool:
    """Say whether people may be asked to choose among these."""
    return len(responses) > 1 and first_alike(responses) is None
