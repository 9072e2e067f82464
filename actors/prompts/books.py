"""Generated books: the chronicle of a town, each chapter an article of its own news.

All of a book's news happened in its town; in all else no two of its events, the earlier ones
included, are alike in who did what to what. So it can be told of each fact whose it is, however the
book is cut up.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from actors.prompts import article_words as words
from actors.prompts.articles import Article, article_of, two_events

LEAST_CHAPTERS, MOST_CHAPTERS = 4, 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """A long text and what is known of it."""

    chapters: tuple[Article, ...]

    @property
    def text(self) -> str:
        """All chapters, words and marks between single spaces."""
        return " ".join(chapter.text for chapter in self.chapters)


def book(rng: random.Random) -> Book:
    """Write one book."""
    num_chapters = rng.randint(LEAST_CHAPTERS, MOST_CHAPTERS)
    deeds, people, things = (
        rng.sample(those, 2 * num_chapters) for those in (words.DEEDS, words.PEOPLE, words.THINGS)
    )
    town, *elsewhere = rng.sample(words.PLACES, 1 + num_chapters)
    chapters = []
    for place in elsewhere:
        news, earlier = (
            replace(event, deed=deeds.pop(), who=people.pop(), what=things.pop())
            for event in two_events(rng)
        )
        chapters.append(article_of(replace(news, where=town), replace(earlier, where=place), rng))
    return Book(chapters=tuple(chapters))
