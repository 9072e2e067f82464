"""Generated articles: what they state, where they state it, and what summaries people wrote."""

from __future__ import annotations

import random
from statistics import fmean

import pytest

from actors.prompts import article_words as words
from actors.prompts.articles import (
    MAX_PROMPT_TOKENS,
    PHRASES,
    SUFFIX,
    Article,
    Event,
    article,
    article_corpus,
    vocabulary,
)
from actors.prompts.corpora import corpus, corpus_vocabulary

EVENT = Event(
    who="mayor",
    deed="opened",
    count="seven",
    what="schools",
    where="lisbon",
    when="monday",
    why="storm",
)


@pytest.fixture(scope="module")
def articles() -> list[Article]:
    return [article(random.Random(number)) for number in range(3_000)]


@pytest.mark.parametrize(
    ("phrases", "passive", "counted", "told"),
    [
        ((), False, True, "the mayor opened seven schools"),
        (("where",), False, False, "the mayor opened the schools in lisbon"),
        (PHRASES, True, True, "seven schools were opened by the mayor in lisbon on monday after"),
        (("why", "when"), True, False, "the schools were opened by the mayor after the storm on"),
    ],
)
def test_an_event_is_told_in_either_voice(
    phrases: tuple[str, ...], passive: bool, counted: bool, told: str
) -> None:
    assert " ".join(EVENT.told(phrases, passive=passive, counted=counted)).startswith(told)  # type: ignore[arg-type]


def test_an_article_is_five_or_six_short_sentences_of_known_words(
    articles: list[Article],
) -> None:
    known = set(vocabulary())
    for each in articles:
        assert len(each.sentences) in (5, 6)
        assert all(sentence.endswith(" .") for sentence in each.sentences)
        assert set(f"{each.prompt} {each.reference}".split()) <= known
        assert each.prompt == f"{each.text} {SUFFIX}"
        assert len(each.prompt.split()) <= MAX_PROMPT_TOKENS
    found = {word for each in articles for word in f"{each.prompt} {each.reference}".split()}
    assert found == known


def test_the_longest_prompt_is_the_sum_of_its_longest_parts() -> None:
    mark = 1
    first = len(EVENT.told((), passive=True)) + mark
    colours = 3 * (max(len(line.split()) for line in words.COLOURS) + mark)
    times = max(len(line.split()) for line in words.TIMES_BEFORE)
    before = times + len(EVENT.told(("where", "when"), passive=True)) + mark
    late = len(EVENT.told((), passive=False, counted=False)) + mark
    phrases = sum(len(EVENT.phrase(phrase)) for phrase in PHRASES)
    assert first + colours + before + late + phrases + 1 == MAX_PROMPT_TOKENS


def test_no_word_is_of_two_kinds() -> None:
    classes = (
        *(words.PEOPLE, words.DEEDS, words.THINGS, words.NUMBERS),
        *(words.PLACES, words.DAYS, words.CAUSES),
    )
    in_lines = {word for line in (*words.COLOURS, *words.TIMES_BEFORE) for word in line.split()}
    every = [word for each in (*classes, tuple(in_lines)) for word in each]
    assert len(every) == len(set(every))


def test_what_came_before_shares_no_fact_with_the_news(articles: list[Article]) -> None:
    for each in articles:
        for slot in Event.__slots__:
            assert getattr(each.news, slot) != getattr(each.earlier, slot)


def test_the_first_three_sentences_hold_nearly_all_of_the_news(articles: list[Article]) -> None:
    shares = []
    for each in articles:
        told = set(each.lead.split())
        shares.append(fmean(getattr(each.news, slot) in told for slot in Event.__slots__))
        assert {each.news.who, each.news.deed, each.news.count, each.news.what} <= told
        assert {getattr(each.news, slot) for slot in Event.__slots__} <= set(each.text.split())
    assert 0.94 < fmean(shares) < 0.99


def test_references_are_short_leave_things_out_and_err_at_times(articles: list[Article]) -> None:
    lengths = [len(each.reference.split()) for each in articles]
    assert fmean(lengths) < 0.6 * fmean(len(each.lead.split()) for each in articles)
    assert max(lengths) <= 22
    wrong = [
        bool(
            set(each.reference.split())
            & {*words.NUMBERS, *words.PLACES, *words.DAYS}
            - {each.news.count, each.news.where, each.news.when}
        )
        for each in articles
    ]
    assert 0.03 < fmean(wrong) < 0.08
    chatty = [each.reference.count(" .") > 1 for each in articles]
    assert 0.1 < fmean(chatty) < 0.2


def test_the_seed_decides_the_corpus_and_so_do_its_names() -> None:
    assert article_corpus(3, seed=1) == article_corpus(3, seed=1) == corpus("summaries", 3, 1)
    assert article_corpus(3, seed=1) != article_corpus(3, seed=2)
    first = article(random.Random(4))
    assert article_corpus(1, seed=4) == [f"{first.prompt} {first.reference}"]
    assert corpus_vocabulary("articles") == corpus_vocabulary("summaries") == vocabulary()
    assert set(corpus("reviews", 5, 1)[0].split()) <= set(corpus_vocabulary("reviews"))


def test_a_few_plain_articles_have_a_summary_as_well() -> None:
    assert all(SUFFIX in text for text in corpus("summaries", 50, 3))
    assert 0.01 < fmean(SUFFIX in text for text in corpus("articles", 4_000, 3)) < 0.03
