"""A grammar of short reviews in which sentiment is compositional.

A rule is a line of words and symbols. A symbol is written in capitals and is expanded in turn;
"~" after it keeps the polarity of the line it stands in, "!" turns it round. So one rule,
"the ASPECT was NEGATION ADJECTIVE!", makes "the soup was not bland" when something good is to be
said and "the soup was not tasty" when something bad is. Since a polarity is drawn first and then
put into words, straight or turned round, no count of words can tell good from bad.

A review has a mood, which most of its sentences follow: telling what a review thinks so far is
what a language model must learn in order to continue it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import cache

from actors.prompts import words

MIN_REVIEW_TOKENS = 34
MAX_REVIEW_TOKENS = 45
_MOODS = (0.08, 0.08, 0.5, 0.92, 0.92)
"""The probability that a sentence is positive: two bad reviews, a mixed one, two good ones."""

_Rules = tuple[tuple[float, str], ...]

_RULES: Mapping[str, _Rules] = {
    "SENTENCE": (
        (5, "CLAUSE~ ."),
        (4, "OPENER~ CLAUSE~ ."),
        (2, "CLAUSE~ and CLAUSE~ ."),
        (1.5, "CLAUSE! CONTRAST CLAUSE~ ."),
        (0.7, "CONCESSION CLAUSE! , CLAUSE~ ."),
        (0.7, "CLAUSE~ CONCESSION CLAUSE! ."),
        (0.7, "CLAUSE! . however , CLAUSE~ ."),
        (2, "FACT ."),
    ),
    "CLAUSE": (
        (6, "the ASPECT was OPINION~"),
        (2.5, "the PERSON was CONDUCT~"),
        (2, "i PAST~ the ASPECT"),
        (0.4, "we did not VERB! the ASPECT"),
        (1, "i would VERB~ this NAME"),
        (0.2, "i would NEGATION VERB! it"),
        (1, "it was a NOUN~"),
        (0.2, "it was not a NOUN!"),
        (1, "the ASPECT was COMPARATIVE~ than in CITY"),
        (0.2, "the ASPECT was not COMPARATIVE! than in CITY"),
        (0.2, "the ASPECT was less ADJECTIVE! than in CITY"),
        (1, "i was FEELING~ with the ASPECT"),
        (0.2, "we were NEGATION FEELING! with it"),
    ),
    "OPINION": (
        (4, "ADJECTIVE~"),
        (3, "DEGREE~ ADJECTIVE~"),
        (0.6, "NEGATION ADJECTIVE!"),
        (0.3, "NEGATION INTENSIFIER ADJECTIVE!"),
        (0.2, "not at all ADJECTIVE!"),
    ),
    "ADJECTIVE": ((1, "GENERAL~"), (1, "SPECIAL~")),
    "CONDUCT": (
        (3, "MANNER~"),
        (2, "DEGREE~ MANNER~"),
        (0.8, "NEGATION MANNER!"),
    ),
    "DEGREE": ((2, "INTENSIFIER"), (2, "LEANING~"), (1, "SOFTENER")),
    "FACT": (
        (2, "we ACT this NAME in TIME"),
        (2, "i ACT it with my COMPANION"),
        (1, "i ACT this NAME before the OCCASION"),
        (1, "i ACT it out of REASON"),
        (1, "we found it in a SOURCE"),
        (1, "i came from CITY MEASURE SPAN ago"),
        (1, "this was MEASURE SPAN ago in CITY"),
    ),
}

_SHARED_CLASSES: Mapping[str, tuple[str, ...]] = {
    "GENERAL+": words.POSITIVE_ADJECTIVES,
    "GENERAL-": words.NEGATIVE_ADJECTIVES,
    "MANNER+": words.POSITIVE_MANNERS,
    "MANNER-": words.NEGATIVE_MANNERS,
    "PAST+": words.POSITIVE_PAST_VERBS,
    "PAST-": words.NEGATIVE_PAST_VERBS,
    "VERB+": words.POSITIVE_VERBS,
    "VERB-": words.NEGATIVE_VERBS,
    "NOUN+": words.POSITIVE_NOUNS,
    "NOUN-": words.NEGATIVE_NOUNS,
    "COMPARATIVE+": words.POSITIVE_COMPARATIVES,
    "COMPARATIVE-": words.NEGATIVE_COMPARATIVES,
    "FEELING+": words.POSITIVE_FEELINGS,
    "FEELING-": words.NEGATIVE_FEELINGS,
    "LEANING+": words.PRAISING_INTENSIFIERS,
    "LEANING-": words.BLAMING_INTENSIFIERS,
    "OPENER+": words.PRAISING_OPENERS,
    "OPENER-": words.BLAMING_OPENERS,
    "INTENSIFIER": words.INTENSIFIERS,
    "SOFTENER": words.SOFTENERS,
    "NEGATION": words.NEGATIONS,
    "CONTRAST": words.CONTRASTS,
    "CONCESSION": words.CONCESSIONS,
    "COMPANION": words.COMPANIONS,
    "TIME": words.TIMES,
    "OCCASION": words.OCCASIONS,
    "REASON": words.REASONS,
    "CITY": words.CITIES,
    "MEASURE": words.MEASURES,
    "SPAN": words.SPANS,
    "SOURCE": words.SOURCES,
}


@cache
def _word_classes(subject: words.Subject) -> Mapping[str, tuple[str, ...]]:
    """Return the word classes of a review about `subject`."""
    return {
        **_SHARED_CLASSES,
        "NAME": (subject.name,),
        "ASPECT": subject.aspects,
        "PERSON": subject.people,
        "ACT": subject.acts,
        "SPECIAL+": subject.positive,
        "SPECIAL-": subject.negative,
    }


def _expand(
    symbol: str, positive: bool, classes: Mapping[str, tuple[str, ...]], rng: random.Random
) -> list[str]:
    """Rewrite one symbol to words that say something of the given polarity."""
    if not symbol[0].isupper():
        return [symbol]
    name = symbol.rstrip("~!")
    positive = positive != symbol.endswith("!")
    if name in _RULES:
        weights, lines = zip(*_RULES[name], strict=True)
        (line,) = rng.choices(lines, weights)
        return [word for part in line.split() for word in _expand(part, positive, classes, rng)]
    if name not in classes:
        name += "+" if positive else "-"
    return [rng.choice(classes[name])]


def review(rng: random.Random) -> list[str]:
    """Write one review, as words and marks: MIN_REVIEW_TOKENS to MAX_REVIEW_TOKENS of them."""
    classes = _word_classes(rng.choice(words.SUBJECTS))
    mood = rng.choice(_MOODS)
    tokens: list[str] = []
    while len(tokens) < MIN_REVIEW_TOKENS:
        sentence = _expand("SENTENCE", rng.random() < mood, classes, rng)
        if len(tokens) + len(sentence) <= MAX_REVIEW_TOKENS:
            tokens += sentence
    return tokens


def review_corpus(count: int, seed: int) -> list[str]:
    """Write `count` reviews, tokens joined by single spaces: text to train a base model on."""
    rng = random.Random(seed)
    return [" ".join(review(rng)) for _ in range(count)]


def vocabulary() -> tuple[str, ...]:
    """Return every word and mark a review can hold, sorted."""
    found = {
        token
        for lines in _RULES.values()
        for _, line in lines
        for token in line.split()
        if not token[0].isupper()
    }
    for subject in words.SUBJECTS:
        found.update(*_word_classes(subject).values())
    return tuple(sorted(found))
