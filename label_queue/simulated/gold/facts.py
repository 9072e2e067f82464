"""The facts that a text about deeds states, read off its words.

The labelers' own reading, by the form of a sentence and with no list of what may be said in it;
that it reads off what the generator of articles put in is checked by a test. It reads any text:

1. Marks, "and" and "but" cut the text into clauses. The first deed of a clause is what the clause
   is about; a clause without one ("it happened on monday") goes on about the deed before it, and
   says nothing where there is none.
2. "the W" before a deed, or "by the W" after it where it is passive, says who did it; "N T" or "the
   T" after a deed, or before it and "were", what it was done to, and the number N to how many.
3. "in W" says where, "on W" when and "after the W" why.

A fact is of its deed: "nine boats" of another deed than the article's is another fact.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


DEEDS = _words(
    "opened closed bought sold built moved found lost repaired cleaned rescued burned counted "
    "borrowed"
)
NUMBERS = _words("two three four five six seven eight nine ten eleven twelve twenty")
_MARKS = frozenset({".", ",", ";", "and", "but"})
_CLOSED = _MARKS | DEEDS | NUMBERS | {"the", "a", "in", "on", "after", "by", "were", "was", "it"}
"""Words that are no fact's value."""

Slot = Literal["did", "who", "count", "what", "where", "when", "why"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One thing that is said of a deed."""

    deed: str
    slot: Slot
    value: str
    """The word that says it; of "did" the deed itself."""


def clauses_facts(text: str) -> list[list[Fact]]:
    """Return what each clause of a text states, in order; clauses without words are left out.

    Args:
        text: Words and marks between whitespace.
    """
    found = []
    deed = ""
    for clause in _clauses(text.lower().split()):
        at = next((place for place, word in enumerate(clause) if word in DEEDS), None)
        if at is not None:
            deed = clause[at]
        found.append(list(_facts_of(clause, deed, at)) if deed else [])
    return found


def facts(text: str) -> list[Fact]:
    """Return every fact that a text states, each once, in the order in which it does."""
    return list(dict.fromkeys(fact for clause in clauses_facts(text) for fact in clause))


def news_of(stated: Sequence[Fact]) -> str:
    """Return the deed that a text is about, which is the first it tells; "": it tells none."""
    return stated[0].deed if stated else ""


def deeds(text: str) -> Iterator[tuple[str, list[str]]]:
    """Give the deed of each clause that has one, and the words before it in the clause."""
    for clause in _clauses(text.lower().split()):
        at = next((place for place, word in enumerate(clause) if word in DEEDS), None)
        if at is not None:
            yield clause[at], clause[:at]


def _clauses(tokens: Sequence[str]) -> Iterator[list[str]]:
    clause: list[str] = []
    for token in (*tokens, "."):
        if token not in _MARKS:
            clause.append(token)
        elif clause:
            yield clause
            clause = []


def _facts_of(clause: Sequence[str], deed: str, at: int | None) -> Iterator[Fact]:
    """Give what a clause says of a deed that stands at a place in it, or before it."""
    if at is not None:
        yield Fact(deed=deed, slot="did", value=deed)
        for slot, value in _sides(clause[:at], clause[at + 1 :]):
            yield Fact(deed=deed, slot=slot, value=value)
    for slot, value in _phrases(clause):
        yield Fact(deed=deed, slot=slot, value=value)


def _sides(before: Sequence[str], after: Sequence[str]) -> Iterator[tuple[Slot, str]]:
    """Give who, count and what, from the words on either side of the deed."""
    match before:
        case [*_, first, thing, "were"] if _is_value(thing):
            yield from _things(first, thing)
            if list(after[:2]) == ["by", "the"] and _is_value(*after[2:3]):
                yield "who", after[2]
        case [*_, "the", who] if _is_value(who):
            yield "who", who
            yield from _things(*after[:2])
        case _:
            yield from _things(*after[:2])


def _things(first: str = "", thing: str = "") -> Iterator[tuple[Slot, str]]:
    if _is_value(thing) and (first == "the" or first in NUMBERS):
        if first in NUMBERS:
            yield "count", first
        yield "what", thing


def _phrases(clause: Sequence[str]) -> Iterator[tuple[Slot, str]]:
    for place, word in enumerate(clause):
        rest = clause[place + 1 : place + 3]
        if word == "in" and _is_value(*rest[:1]):
            yield "where", rest[0]
        elif word == "on" and _is_value(*rest[:1]):
            yield "when", rest[0]
        elif word == "after" and rest[:1] == ["the"] and _is_value(*rest[1:]):
            yield "why", rest[1]


def _is_value(word: str = "") -> bool:
    return bool(word) and word not in _CLOSED
