"""A grammar of short news articles whose facts a program can check, and of their summaries.

An article tells of one event, the news, and mentions another that came before it. An event is a
deed with up to six more facts: who did it, to how many of what, where, when and why. As in a
newspaper the first sentence says the most and nearly all of the rest is in the two after it, among
sentences that state no fact; so the first three ("lead-3") are a summary that is true, covers much,
and is longer than it need be. No fact of the earlier event is one of the news: whoever takes one
for the other says what is false.

The reference summaries are as people write them: short, put together from several sentences, not
always complete, and now and then mistaken.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from actors.prompts import article_words as words

SUFFIX = "TL;DR:"
"""What a prompt ends in: the summary follows."""
MAX_PROMPT_TOKENS = 55
"""Words and marks of the longest article, and the suffix."""
LEAD_SENTENCES = 3
SUMMARISED_SHARE = 0.02
"""Share of plain articles that a summary follows, as one follows some of the web's texts."""

Phrase = Literal["where", "when", "why"]
PHRASES: tuple[Phrase, ...] = ("where", "when", "why")

_IN_FIRST: Mapping[Phrase, float] = {"where": 0.65, "when": 0.6, "why": 0.2}
"""How likely a phrase is in the first sentence."""
_EARLY_SHARE = 0.75
"""How likely the phrases that are not are told within the first three sentences."""
PASSIVE_SHARE = 0.3
"""Clauses in which what it was done to comes first."""
IN_REFERENCE: Mapping[Phrase, float] = {"where": 0.8, "when": 0.65, "why": 0.6}
"""How likely a reference tells a phrase of the news, and, below, of how many."""
COUNT_IN_REFERENCE = 0.85
_CHATTY_SHARE = 0.15
"""References that go on with a sentence that states no fact."""
MISTAKEN_SHARE = 0.08
"""References with one false fact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Who did what to how many of what, where, when and why; a word each, e.g. "mayor"."""

    who: str
    deed: str
    count: str
    what: str
    where: str
    when: str
    why: str

    def told(self, phrases: Sequence[Phrase], *, passive: bool, counted: bool = True) -> list[str]:
        """Return the event as a clause, without a mark.

        Args:
            phrases: Which of place, day and cause are told, in that order.
            passive: Whether what it was done to comes first.
            counted: Whether it says of how many.
        """
        things = [self.count if counted else "the", self.what]
        doer = ["the", self.who]
        clause = (
            [*things, "were", self.deed, "by", *doer] if passive else [*doer, self.deed, *things]
        )
        return [*clause, *(word for phrase in phrases for word in self.phrase(phrase))]

    def phrase(self, phrase: Phrase) -> tuple[str, ...]:
        """Return the words that say where, when or why."""
        match phrase:
            case "where":
                return ("in", self.where)
            case "when":
                return ("on", self.when)
            case "why":
                return ("after", "the", self.why)


@dataclass(frozen=True, slots=True, kw_only=True)
class Article:
    """One article and what is known of it."""

    sentences: tuple[str, ...]
    """Each ends in " ."; words and marks stand between single spaces."""
    news: Event
    earlier: Event
    reference: str
    """A summary as a person wrote it."""

    @property
    def text(self) -> str:
        """The article itself."""
        return " ".join(self.sentences)

    @property
    def prompt(self) -> str:
        """The article and the suffix that asks for a summary."""
        return f"{self.text} {SUFFIX}"

    @property
    def lead(self) -> str:
        """Its first three sentences."""
        return " ".join(self.sentences[:LEAD_SENTENCES])


def article(rng: random.Random) -> Article:
    """Write one article and its reference summary."""
    return article_of(*two_events(rng), rng)


def article_of(news: Event, earlier: Event, rng: random.Random) -> Article:
    """Write an article of an event and of one before it, and its reference summary."""
    in_first = [phrase for phrase in PHRASES if rng.random() < _IN_FIRST[phrase]]
    rest = [phrase for phrase in PHRASES if phrase not in in_first]
    rng.shuffle(in_first)
    early = rest if rng.random() < _EARLY_SHARE else rest[:-1]
    late = [phrase for phrase in rest if phrase not in early]
    first, second, third = rng.sample(words.COLOURS, 3)
    lead = [first.split(), ["it", "happened", *_phrases(news, early)] if early else second.split()]
    rng.shuffle(lead)
    sentences = [_clause(news, in_first, rng), *lead, _before(earlier, rng), third.split()]
    if late:
        sentences.append(["the", news.who, news.deed, "the", news.what, *_phrases(news, late)])
    return Article(
        sentences=tuple(sentence(each) for each in sentences),
        news=news,
        earlier=earlier,
        reference=_reference(news, rng),
    )


def article_corpus(count: int, seed: int, *, summarised_share: float = 1.0) -> list[str]:
    """Write `count` articles: text to train a base model on.

    Args:
        count: How many.
        seed: Of all of them.
        summarised_share: Share of them that the suffix and the reference summary follow.
    """
    rng = random.Random(seed)
    texts = []
    for _ in range(count):
        made = article(rng)
        has_summary = rng.random() < summarised_share
        texts.append(f"{made.prompt} {made.reference}" if has_summary else made.text)
    return texts


def vocabulary() -> tuple[str, ...]:
    """Return every word and mark that an article or its summary can hold, sorted."""
    lines = (*words.COLOURS, *words.TIMES_BEFORE, "the it happened were by in on after .", SUFFIX)
    classes = (
        *(words.PEOPLE, words.DEEDS, words.THINGS, words.NUMBERS),
        *(words.PLACES, words.DAYS, words.CAUSES),
    )
    found = {word for line in lines for word in line.split()}
    return tuple(sorted(found.union(*classes)))


def two_events(rng: random.Random) -> tuple[Event, Event]:
    """Draw two events that have no fact in common."""
    classes = {
        "who": words.PEOPLE,
        "deed": words.DEEDS,
        "count": words.NUMBERS,
        "what": words.THINGS,
        "where": words.PLACES,
        "when": words.DAYS,
        "why": words.CAUSES,
    }
    drawn = {name: rng.sample(those, 2) for name, those in classes.items()}
    first, second = (Event(**{name: pair[n] for name, pair in drawn.items()}) for n in (0, 1))
    return first, second


def _phrases(event: Event, phrases: Sequence[Phrase]) -> list[str]:
    return [word for phrase in phrases for word in event.phrase(phrase)]


def _clause(event: Event, phrases: Sequence[Phrase], rng: random.Random) -> list[str]:
    return event.told(phrases, passive=rng.random() < PASSIVE_SHARE)


def _before(event: Event, rng: random.Random) -> list[str]:
    """Return the sentence about what came before the news: always a place, at times a day."""
    phrases: tuple[Phrase, ...] = ("where", "when") if rng.random() < 0.3 else ("where",)
    return [*rng.choice(words.TIMES_BEFORE).split(), *_clause(event, phrases, rng)]


def _reference(news: Event, rng: random.Random) -> str:
    if rng.random() < MISTAKEN_SHARE:
        news = mistaken(news, rng)
    told = news.told(
        [phrase for phrase in PHRASES if rng.random() < IN_REFERENCE[phrase]],
        passive=rng.random() < PASSIVE_SHARE,
        counted=rng.random() < COUNT_IN_REFERENCE,
    )
    summary = sentence(told)
    if rng.random() < _CHATTY_SHARE:
        summary = f"{summary} {sentence(rng.choice(words.COLOURS).split())}"
    return summary


def mistaken(event: Event, rng: random.Random) -> Event:
    """Return the event with another count, place or day: what people mix up."""
    match rng.randrange(3):
        case 0:
            return replace(event, count=_other(words.NUMBERS, event.count, rng))
        case 1:
            return replace(event, where=_other(words.PLACES, event.where, rng))
        case _:
            return replace(event, when=_other(words.DAYS, event.when, rng))


def _other(those: Sequence[str], than: str, rng: random.Random) -> str:
    return rng.choice([each for each in those if each != than])


def sentence(tokens: Sequence[str]) -> str:
    """Return words as a sentence of an article."""
    return " ".join((*tokens, "."))
