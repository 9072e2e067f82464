"""Demonstrations of a book's nodes: each node's prompt, and a summary as a person wrote it.

A person sums up what the prompt says: of a passage the news that it names, of summaries what these
tell. All that happened comes before what is told of it, so that higher up the details go first.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from actors.prompts import article_words
from actors.prompts.articles import (
    COUNT_IN_REFERENCE,
    IN_REFERENCE,
    MISTAKEN_SHARE,
    PHRASES,
    SUFFIX,
    Event,
    Phrase,
    mistaken,
    sentence,
)
from actors.prompts.books import Book, book
from actors.prompts.passages import passages
from actors.prompts.text_tree import tree_over

LEAF_TOKENS = 64
"""N, words and marks of a passage at most."""
FAN_OUT = 3
REFERENCE_TOKENS = 27
"""Words and marks of a reference at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An event, and what is told of it besides who did what to what."""

    event: Event
    phrases: tuple[Phrase, ...] = ()
    is_counted: bool = False

    @property
    def bare(self) -> Told:
        """Who did what to what alone."""
        return Told(event=self.event)

    @property
    def sentence(self) -> str:
        """All of it in words."""
        return sentence(self.event.told(self.phrases, passive=False, counted=self.is_counted))


def book_corpus(count: int, seed: int) -> list[str]:
    """Write `count` demonstrations, those of each book from its leaves to its root."""
    rng = random.Random(seed)
    texts: list[str] = []
    while len(texts) < count:
        texts += demonstrations(book(rng), rng)
    return texts[:count]


def demonstrations(made: Book, rng: random.Random) -> list[str]:
    """Return the prompt of each node and its reference, words and marks between single spaces."""
    leaves = passages(made.text, LEAF_TOKENS, lambda text: len(text.split()))
    told = list(named(made, leaves))
    prompts = list(leaves)
    tree = tree_over(leaves, FAN_OUT, "")
    references: list[str] = []
    for node in tree.nodes:
        if node.children:
            prompts.append(" ".join(references[child] for child in node.children))
            told.append(_together([each for child in node.children for each in told[child]]))
        number = len(references)
        told[number] = _chosen(told[number], rng)
        reference = " ".join(each.sentence for each in told[number])
        references.append(reference or _without_news(prompts[number]))
    return [
        f"{prompt} {SUFFIX} {reference}"
        for prompt, reference in zip(prompts, references, strict=True)
    ]


def named(made: Book, leaves: Sequence[str]) -> Iterator[list[Told]]:
    """Give the news that each passage of a book names, and what it tells of them.

    News are named where their deed is; what is told of them before that, after another passage's
    end, nobody can know to be theirs.
    """
    rest = [(chapter.news, each) for chapter in made.chapters for each in chapter.sentences]
    for leaf in leaves:
        num_words, found = len(leaf.split()), dict[Event, list[str]]()
        while num_words > 0:
            news, words = rest[0][0], rest.pop(0)[1].split()
            num_words -= len(words)
            if news in found or news.deed in words:
                found.setdefault(news, []).extend(words)
        yield [
            Told(
                event=news,
                phrases=tuple(each for each in PHRASES if news.phrase(each)[-1] in words),
                is_counted=news.count in words,
            )
            for news, words in found.items()
        ]


def _without_news(passage: str) -> str:
    """Return what a person writes of a passage that names no news: a sentence that says nothing."""
    lines = [f"{each.strip()} ." for each in passage.split(" .") if each.strip()]
    colours = {f"{each} ." for each in article_words.COLOURS}
    return next((line for line in lines if line in colours), lines[0])


def _together(told: Sequence[Told]) -> list[Told]:
    """Return what is told, each deed once: a chapter's may stand in two passages."""
    found: dict[str, Told] = {}
    for each in told:
        first = found.setdefault(each.event.deed, each)
        found[each.event.deed] = replace(
            first,
            phrases=tuple(p for p in PHRASES if p in (*first.phrases, *each.phrases)),
            is_counted=first.is_counted or each.is_counted,
        )
    return list(found.values())


def _chosen(told: Sequence[Told], rng: random.Random) -> list[Told]:
    """Return what a person tells of it: every event that there is room for, then more of each."""
    wanted = [_as_remembered(each, rng) for each in told]
    chosen: list[Told] = []
    for each in wanted:
        if _num_words([*chosen, each.bare]) <= REFERENCE_TOKENS:
            chosen.append(each.bare)
    for place, each in enumerate(wanted[: len(chosen)]):
        longer = [*chosen[:place], each, *chosen[place + 1 :]]
        if _num_words(longer) <= REFERENCE_TOKENS:
            chosen = longer
    return chosen


def _as_remembered(told: Told, rng: random.Random) -> Told:
    event = mistaken(told.event, rng) if rng.random() < MISTAKEN_SHARE else told.event
    return Told(
        event=event,
        phrases=tuple(each for each in told.phrases if rng.random() < IN_REFERENCE[each]),
        is_counted=told.is_counted and rng.random() < COUNT_IN_REFERENCE,
    )


def _num_words(told: Sequence[Told]) -> int:
    return sum(len(each.sentence.split()) for each in told)
