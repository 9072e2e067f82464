"""Generated books and the demonstrations of their nodes."""

from __future__ import annotations

import random
from itertools import chain

import pytest

from actors.prompts.articles import PHRASES, SUFFIX, vocabulary
from actors.prompts.book_summaries import (
    FAN_OUT,
    LEAF_TOKENS,
    REFERENCE_TOKENS,
    Told,
    book_corpus,
    demonstrations,
    named,
)
from actors.prompts.books import LEAST_CHAPTERS, MOST_CHAPTERS, Book, book
from actors.prompts.config import BooksConfig
from actors.prompts.corpora import corpus, corpus_vocabulary
from actors.prompts.passages import passages
from actors.prompts.text_tree import tree_over


@pytest.fixture(scope="module")
def books() -> list[Book]:
    return [book(random.Random(number)) for number in range(400)]


def test_all_news_are_of_one_town_and_no_two_events_of_one_deed_person_or_thing(
    books: list[Book],
) -> None:
    sizes = {len(each.chapters) for each in books}
    assert sizes == set(range(LEAST_CHAPTERS, MOST_CHAPTERS + 1))
    for each in books:
        towns = {chapter.news.where for chapter in each.chapters}
        assert len(towns) == 1
        assert towns.isdisjoint(chapter.earlier.where for chapter in each.chapters)
        events = list(chain(*((chapter.news, chapter.earlier) for chapter in each.chapters)))
        for fact in ("deed", "who", "what"):
            assert len({getattr(event, fact) for event in events}) == len(events)
        for chapter in each.chapters:
            assert chapter.news.when != chapter.earlier.when
            assert chapter.news.why != chapter.earlier.why


def test_a_book_is_its_chapters_and_known_words(books: list[Book]) -> None:
    known = set(corpus_vocabulary("books"))
    assert known == set(vocabulary())
    for each in books[:50]:
        assert each.text.split() == [w for chapter in each.chapters for w in chapter.text.split()]
        assert set(each.text.split()) <= known


def test_the_seed_decides_a_book() -> None:
    assert book(random.Random("1-7")) == book(random.Random("1-7")) != book(random.Random("1-8"))


def test_a_passage_names_the_news_whose_deed_it_tells_and_what_follows_of_them(
    books: list[Book],
) -> None:
    made = books[0]
    whole = [list(chapter.sentences) for chapter in made.chapters]
    told = next(named(made, [made.text]))
    assert told == [
        Told(event=chapter.news, phrases=PHRASES, is_counted=True) for chapter in made.chapters
    ]
    first, rest = " ".join(whole[0][:1]), " ".join([*whole[0][1:], *chain(*whole[1:])])
    (alone,), (*after,) = named(made, [first, rest])
    news = made.chapters[0].news
    assert (alone.event, alone.is_counted) == (news, True)
    assert alone.phrases == tuple(p for p in PHRASES if news.phrase(p)[-1] in first.split())
    is_named_again = any(news.deed in sentence.split() for sentence in whole[0][1:])
    assert [each.event for each in after] == [
        chapter.news for chapter in made.chapters[0 if is_named_again else 1 :]
    ]


def test_demonstrations_go_from_the_passages_to_the_whole_and_higher_up_details_go(
    books: list[Book],
) -> None:
    num_phrases = {"leaf": 0, "root": 0}
    num_told = {"leaf": 0, "root": 0}
    for each in books:
        leaves = passages(each.text, LEAF_TOKENS, lambda text: len(text.split()))
        made = demonstrations(each, random.Random(1))
        prompts, references = zip(*(text.split(f" {SUFFIX} ") for text in made), strict=True)
        assert list(prompts[: len(leaves)]) == leaves
        assert len(made) > len(leaves) > 2
        assert all(0 < len(reference.split()) <= REFERENCE_TOKENS for reference in references)
        for node, prompt in zip(tree_over(leaves, FAN_OUT, "").nodes, prompts, strict=True):
            below = [references[child] for child in node.children]
            assert prompt == (" ".join(below) if below else node.passage)
        for kind, reference in (("leaf", references[0]), ("root", references[-1])):
            words = reference.split()
            num_told[kind] += reference.count(" .")
            num_phrases[kind] += sum(words.count(word) for word in ("in", "on", "after"))
    assert num_told["root"] > 1.9 * num_told["leaf"]
    assert num_phrases["root"] / num_told["root"] < 0.6 * num_phrases["leaf"] / num_told["leaf"]


def test_a_corpus_is_so_many_demonstrations_that_the_seed_decides() -> None:
    made = corpus("books", 100, 3)
    assert len(made) == 100
    assert made == book_corpus(100, 3) != book_corpus(100, 4)
    assert made[:20] == book_corpus(20, 3)
    assert all(text.count(SUFFIX) == 1 for text in made)


def test_prompts_are_cut_as_demonstrations_are_unless_the_config_says_otherwise() -> None:
    config = BooksConfig()
    assert (config.leaf_tokens, config.fan_out) == (LEAF_TOKENS, FAN_OUT)
    assert config.suffix == f" {SUFFIX}"
