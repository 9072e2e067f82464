"""What is measured of summed up books: how good each height is, and what of the book comes through.

A node is judged by its own prompt, as people judge it. What was told falsely below is true of the
prompt above, so the book's summary is held against the book as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from actors.prompts.articles import SUFFIX, Event
from actors.prompts.books import Book
from examples.tasks.books.climbing import SummedUp
from examples.tasks.measures import KeptMeasures, preference
from label_queue.simulated.config import LabelerProfile
from label_queue.simulated.gold.books import BooksGold
from label_queue.simulated.gold.facts import Fact, Slot, facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures(KeptMeasures):
    """Means over the books that a system has summed up."""

    gold_passages: float
    gold_parts: float
    gold_wholes: float
    """Gold score of the leaves, of what stands between, and of the roots, each by its prompt."""
    gold_of_book: float
    """Gold score of the root's summary, held against the book itself."""
    win_gold: float
    """How often that is more than a person's summary has; a tie is half a win."""
    win_labelers: float
    """How often the run's simulated labelers would choose it over that one, all equally."""
    told: float
    """The share of a book's news of which its summary says who did what to what."""
    true_of_prompt: float
    true_of_book: float
    """The share of all facts stated in the root's summaries that its prompt, the book, states."""
    wholly_true: float
    """Summaries of books without a fact that the book does not state."""
    words: float
    """How many the book's summary has."""
    finished: float
    """The share of all nodes' summaries that ended in time."""

    @classmethod
    def of(
        cls,
        found: Sequence[SummedUp],
        people: Sequence[SummedUp],
        labelers: Sequence[LabelerProfile],
    ) -> Measures:
        """Measure what a system made of some books.

        Args:
            found: What it made.
            people: What people made of the same books.
            labelers: Whose choices count.
        """
        own, theirs = (list(map(gold_of_book, those)) for those in (found, people))
        stated = [set(facts(each.whole.text)) for each in found]
        in_book = [set(facts(each.book.text)) for each in found]
        return cls(
            gold_passages=_gold(found, lambda height, top: height == 0),
            gold_parts=_gold(found, lambda height, top: 0 < height < top),
            gold_wholes=_gold(found, lambda height, top: height == top),
            gold_of_book=fmean(own),
            win_gold=fmean(
                0.5 if mine == other else float(mine > other)
                for mine, other in zip(own, theirs, strict=True)
            ),
            win_labelers=fmean(
                preference(mine, other, labeler)
                for mine, other in zip(own, theirs, strict=True)
                for labeler in labelers
            ),
            told=fmean(told_of(each.book, each.whole.text) for each in found),
            true_of_prompt=_share(stated, [set(facts(each.prompts[-1])) for each in found]),
            true_of_book=_share(stated, in_book),
            wholly_true=fmean(said <= known for said, known in zip(stated, in_book, strict=True)),
            words=fmean(len(each.whole.text.split()) for each in found),
            finished=fmean(summary.is_complete for each in found for summary in each.summaries),
        )


def gold_of_book(found: SummedUp) -> float:
    """Return the gold score of a book's summary, as one who had read all of it gives it."""
    return BooksGold().score(f"{found.book.text} {SUFFIX}", found.whole.text)


def told_of(book: Book, summary: str) -> float:
    """Return the share of a book's news of which a summary says who did what to what."""
    stated = set(facts(summary))
    return fmean(_core(chapter.news) <= stated for chapter in book.chapters)


def _core(event: Event) -> set[Fact]:
    """Return who did what to what."""
    told: tuple[tuple[Slot, str], ...] = (
        ("did", event.deed),
        ("who", event.who),
        ("what", event.what),
    )
    return {Fact(deed=event.deed, slot=slot, value=value) for slot, value in told}


def _gold(found: Sequence[SummedUp], is_meant: Callable[[int, int], bool]) -> float:
    """Return the mean gold score of nodes, of those whose height and whose root's are meant.

    NaN where there are none.
    """
    gold = BooksGold()
    scores = [
        gold.score(prompt, summary.text)
        for each in found
        for node, prompt, summary in zip(each.tree.nodes, each.prompts, each.summaries, strict=True)
        if is_meant(node.place.height, each.tree.nodes[-1].place.height)
    ]
    return fmean(scores) if scores else float("nan")


def _share(stated: Sequence[set[Fact]], known: Sequence[set[Fact]]) -> float:
    """Return the share of all facts stated that are known; 1 where none is stated."""
    num_stated = sum(map(len, stated))
    num_true = sum(len(said & those) for said, those in zip(stated, known, strict=True))
    return num_true / num_stated if num_stated else 1.0
