"""A grammar of dialogues in which a table is booked, whose last turn a program can check.

A guest says for how many, on which day and where, a thing a turn; a clerk asks for what is missing.
Now and then the guest thinks better of something said before. The last turn, the clerk's, confirms
the booking: what it should say stands in no single turn, and of what was changed the first word is
wrong.

The reference answers are as clerks give them: often something is left out, or told as it was before
the guest changed it, and some are chatty.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from protocol.messages import ChatMessage, Role

Slot = Literal["guests", "day", "place"]
SLOTS: tuple[Slot, ...] = ("guests", "day", "place")
"""What a booking is made of, in the order in which it is told and confirmed."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


WORDS: Mapping[Slot, tuple[str, ...]] = {
    "guests": _words("two three four five six seven eight"),
    "day": _words("monday tuesday wednesday thursday friday saturday sunday"),
    "place": _words("rome paris london oslo lisbon vienna"),
}
_BEFORE: Mapping[Slot, str] = {"guests": "for", "day": "on", "place": "in"}
"""What a word follows, by which it is known."""
_QUESTIONS: Mapping[Slot, str] = {"day": "when ?", "place": "where ?"}
_OPENING = "a table"
_CORRECTION = "rather"
LAST_WORDS = "thanks ."
"""What the guest ends with, once all is said."""
_GREETING = "with pleasure ."
MARKS: Mapping[Role, str] = {"user": "user:", "assistant": "assistant:"}
"""What a turn begins with in a text to train on; as `learners.word_tokenizer.CHAT_TEMPLATE`."""
MAX_PROMPT_TOKENS = 31
"""Words and marks of the longest dialogue before its last turn, the clerk's mark included."""
MAX_ANSWER_TOKENS = 13
"""Words of the longest reference, and the end token."""

_CORRECTED_SHARE = 0.5
"""How likely a turn after the first changes something that was said before."""
_OUTDATED_SHARE = 0.5
"""How likely a reference tells what was changed as it was at first."""
_OMITTED_SHARE = 0.2
"""How likely it leaves a thing out."""
_CHATTY_SHARE = 0.4
"""How likely it greets."""

Booking = Mapping[Slot, str]
"""A word for each slot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialogue:
    """A dialogue up to its last turn, and what is known of it."""

    turns: tuple[ChatMessage, ...]
    """Guest and clerk by turns, the guest's first and last; words and marks between blanks."""
    booking: Booking
    """What was agreed on."""
    outdated: Booking
    """The word that was said at first, of what was changed."""
    reference: str
    """The last turn as a clerk gave it."""

    @property
    def text(self) -> str:
        """All of it as a text to train on, the reference at its end."""
        turns = [f"{MARKS[turn.role]} {turn.content}" for turn in self.turns]
        return " ".join([*turns, MARKS["assistant"], self.reference])


def dialogue(rng: random.Random) -> Dialogue:
    """Write one dialogue and its reference answer."""
    first, *rest = SLOTS
    said: dict[Slot, str] = {slot: rng.choice(WORDS[slot]) for slot in SLOTS}
    outdated: dict[Slot, str] = {}
    known = [first]
    turns = [ChatMessage(role="user", content=f"{_OPENING} {told(first, said)} .")]
    for slot in rest:
        answer = [f"{told(slot, said)} ."]
        changeable = [each for each in known if each not in outdated]
        if changeable and rng.random() < _CORRECTED_SHARE:
            changed = rng.choice(changeable)
            outdated[changed] = said[changed]
            said[changed] = rng.choice([word for word in WORDS[changed] if word != said[changed]])
            answer.append(f"{_CORRECTION} {told(changed, said)} .")
        if slot == rest[-1]:
            answer.append(LAST_WORDS)
        known.append(slot)
        turns.append(ChatMessage(role="assistant", content=_QUESTIONS[slot]))
        turns.append(ChatMessage(role="user", content=" ".join(answer)))
    return Dialogue(
        turns=tuple(turns),
        booking=said,
        outdated=outdated,
        reference=_reference(said, outdated, rng),
    )


def told(slot: Slot, booking: Booking) -> str:
    """Return the words that say a thing of a booking, e.g. "on friday"."""
    return f"{_BEFORE[slot]} {booking[slot]}"


def confirmation(booking: Booking) -> str:
    """Return the shortest answer that says all of a booking, or of a part of one."""
    return " ".join([_OPENING, *(told(slot, booking) for slot in SLOTS if slot in booking), "."])


def dialogue_corpus(count: int, seed: int) -> list[str]:
    """Write `count` whole dialogues: demonstrations to train a base model on."""
    rng = random.Random(seed)
    return [dialogue(rng).text for _ in range(count)]


def vocabulary() -> tuple[str, ...]:
    """Return every word and mark that a dialogue can hold, sorted."""
    lines: Sequence[str] = (
        *(_OPENING, _CORRECTION, LAST_WORDS, _GREETING),
        *(*_BEFORE.values(), *_QUESTIONS.values(), *MARKS.values()),
        *(word for words in WORDS.values() for word in words),
    )
    return tuple(sorted({word for line in lines for word in line.split()}))


def _reference(booking: Booking, outdated: Booking, rng: random.Random) -> str:
    known = {
        slot: outdated[slot] if slot in outdated and rng.random() < _OUTDATED_SHARE else word
        for slot, word in booking.items()
        if rng.random() >= _OMITTED_SHARE
    }
    greeting = [_GREETING] if rng.random() < _CHATTY_SHARE else []
    return " ".join([*greeting, confirmation(known)])
