"""The gold score of a dialogue's last turn: whether it says what was agreed on, in few words.

The labelers' own reading, by the form of a sentence and with no list of what may be said in it. It
reads any text:

1. "for W", "on W" and "in W" say for how many, on which day and where.
2. Of what the users of a chat say of one of these the last counts; all of a plain prompt is a
   user's. What others say agrees on nothing.
3. In the response, each thing that was agreed on counts `RIGHT_WORTH`, once. Whatever else it says
   of one of the three costs `WRONG_COST`: what was changed since, and what nobody said.
4. Each word costs `WORD_COST`, a word said twice running 0.5, and a run of three words that came
   before 0.25.

So the best there is says all three as they were left, in one sentence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from label_queue.simulated.gold.clauses import remembered, repetition_cost

RIGHT_WORTH = 1.0
WRONG_COST = 1.0
WORD_COST = 0.1

Slot = Literal["guests", "day", "place"]

_SLOTS: Mapping[str, Slot] = {"for": "guests", "on": "day", "in": "place"}
_MARKS = frozenset({".", ",", ";", "?"})
_CLOSED = _MARKS | _SLOTS.keys() | {"the", "a", "it"}
"""Words that are no thing's value."""
_OTHERS = ("assistant: ", "system: ", "tool: ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One thing that is said of a booking."""

    slot: Slot
    word: str


class DialoguesGold:
    """How well a response confirms what was agreed on in the dialogue before it."""

    def score(self, prompt: str, response: str, gamma: float = 1.0) -> float:
        """Return the worth of what is right less what is wrong and what it costs to read.

        Args:
            prompt: The dialogue in one text.
            response: The turn after it.
            gamma: A sentence n sentences before the last counts gamma^n.
        """
        agreed = agreement(prompt)
        known: set[Said] = set()
        values = []
        for sentence in _sentences(response.lower().split()):
            value = 0.0
            for said in _said(sentence):
                if said not in known:
                    known.add(said)
                    is_right = agreed.get(said.slot) == said.word
                    value += RIGHT_WORTH if is_right else -WRONG_COST
            values.append(value)
        words = response.lower().split()
        return remembered(values, gamma) - WORD_COST * len(words) - repetition_cost(words)


def agreement(prompt: str) -> dict[Slot, str]:
    """Return what was said last of each thing that users spoke of."""
    turns = [turn for turn in prompt.lower().split("\n\n") if not turn.startswith(_OTHERS)]
    return {said.slot: said.word for turn in turns for said in things(turn.removeprefix("user: "))}


def things(text: str) -> list[Said]:
    """Return what a text says of bookings, in its order, whatever was agreed on."""
    return [said for sentence in _sentences(text.lower().split()) for said in _said(sentence)]


def _sentences(tokens: Sequence[str]) -> Iterator[list[str]]:
    sentence: list[str] = []
    for token in (*tokens, "."):
        if token not in _MARKS:
            sentence.append(token)
        elif sentence:
            yield sentence
            sentence = []


def _said(words: Sequence[str]) -> Iterator[Said]:
    for before, word in pairwise(words):
        if before in _SLOTS and word not in _CLOSED:
            yield Said(slot=_SLOTS[before], word=word)
