"""The gold score of a book's nodes: worked out by hand, and on what the generator writes."""

from __future__ import annotations

import random
from statistics import fmean

import pytest

from actors.prompts import article_words as words
from actors.prompts.articles import SUFFIX
from actors.prompts.book_summaries import book_corpus
from actors.prompts.books import book
from label_queue.simulated.gold.books import PAST, BooksGold
from label_queue.simulated.gold.facts import deeds, facts
from label_queue.simulated.gold.summaries import SummariesGold

PASSAGE = (
    "it happened on monday . the mayor opened seven schools in lisbon . nobody was hurt . a year "
    "ago the baker sold two boats . nine maps were lost by the nurse after the storm . TL;DR:"
)


@pytest.mark.parametrize(
    ("summary", "score"),
    [
        # did, who and what of the news: 1 each; the rest 0.75; a word costs 0.1.
        ("the mayor opened the schools .", 3 - 0.6),
        ("the nurse lost nine maps after the storm .", 3 + 2 * 0.75 - 0.9),
        ("the mayor opened the schools . the nurse lost the maps .", 6 - 1.2),
        # Not news, but true: 0.25 a fact.
        ("the baker sold two boats .", 4 * 0.25 - 0.6),
        # Nobody can know whose monday it is.
        ("the mayor opened the schools on monday .", 3 - 1 - 0.8),
        ("the nurse opened the maps .", 1 - 2 - 0.6),
        ("", 0.0),
    ],
)
def test_every_news_of_a_passage_counts(summary: str, score: float) -> None:
    assert BooksGold().score(PASSAGE, summary) == pytest.approx(score)


def test_of_summaries_what_they_say_is_true_whatever_happened() -> None:
    summaries = "the mayor opened the schools .\nthe nurse sold the maps . TL;DR:"
    assert BooksGold().score(summaries, "the nurse sold the maps .") == pytest.approx(3 - 0.6)
    assert SummariesGold().score(summaries, "the nurse sold the maps .") == pytest.approx(
        3 * 0.25 - 0.6
    )


def test_it_knows_how_the_generator_puts_deeds_into_the_past() -> None:
    for number in range(200):
        made = book(random.Random(number))
        news = {chapter.news.deed for chapter in made.chapters}
        found = {deed for deed, before in deeds(made.text) if PAST.isdisjoint(before)}
        assert found == news
    assert all(PAST & set(line.split()) for line in words.TIMES_BEFORE)


def test_people_s_demonstrations_are_good_and_nearly_always_true() -> None:
    gold = BooksGold()
    pairs = [text.split(f" {SUFFIX} ") for text in book_corpus(2_000, 1)]
    assert fmean(gold.score(prompt, reference) for prompt, reference in pairs) > 5
    others = [reference for _, reference in pairs[7:]]
    assert (
        fmean(gold.score(prompt, other) for (prompt, _), other in zip(pairs, others, strict=False))
        < -2
    )
    num_false = sum(not set(facts(reference)) <= set(facts(prompt)) for prompt, reference in pairs)
    assert 0.02 < num_false / len(pairs) < 0.12


def test_at_the_top_all_news_are_worth_more_than_all_of_some() -> None:
    news = [
        f"the {who} {deed} two {what} in rome on friday after the fire ."
        for who, deed, what in (
            ("mayor", "opened", "schools"),
            ("nurse", "lost", "maps"),
            ("pilot", "moved", "bells"),
            ("baker", "sold", "boats"),
        )
    ]
    bare = [" ".join((*line.split()[:3], "the", line.split()[4], ".")) for line in news]
    prompt = " ".join((*news, SUFFIX))
    some, all_of_it = " ".join(news[:2]), " ".join(bare)
    assert len(all_of_it.split()) < len(some.split())
    assert BooksGold().score(prompt, all_of_it) > BooksGold().score(prompt, some)
