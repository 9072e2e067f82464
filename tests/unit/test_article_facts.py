"""The grammar of articles and the labelers' reading of facts, written apart, fit together."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from actors.prompts import article_words as words
from actors.prompts.articles import PHRASES, Article, Event, article
from label_queue.simulated.gold.facts import DEEDS, NUMBERS, Fact, Slot, facts, news_of
from label_queue.simulated.gold.summaries import SummariesGold


@pytest.fixture(scope="module")
def articles() -> list[Article]:
    return [article(random.Random(number)) for number in range(2_000)]


def stated(event: Event) -> set[Fact]:
    slots: tuple[Slot, ...] = ("who", "count", "what", "where", "when", "why")
    return {
        Fact(deed=event.deed, slot="did", value=event.deed),
        *(Fact(deed=event.deed, slot=slot, value=getattr(event, slot)) for slot in slots),
    }


def test_the_reader_knows_the_grammar_s_deeds_and_numbers() -> None:
    assert set(words.DEEDS) == DEEDS
    assert set(words.NUMBERS) == NUMBERS


def test_what_was_put_into_an_article_is_read_off_it_and_nothing_else(
    articles: list[Article],
) -> None:
    for each in articles:
        found = facts(each.text)
        assert news_of(found) == each.news.deed
        news = {fact for fact in found if fact.deed == each.news.deed}
        assert news == stated(each.news)
        assert set(found) - news <= stated(each.earlier)
        assert len(set(found) - news) >= 5
        assert facts(each.prompt) == found


def test_the_first_sentences_are_true_and_a_reference_nearly_always(
    articles: list[Article],
) -> None:
    num_false = 0
    for each in articles:
        known = set(facts(each.text))
        assert set(facts(each.lead)) <= known
        num_false += not set(facts(each.reference)) <= known
    assert 0.03 < num_false / len(articles) < 0.09


def test_the_news_in_one_sentence_is_the_best_and_the_lead_is_not_far_from_references(
    articles: list[Article],
) -> None:
    gold = SummariesGold()

    def mean(texts: list[str]) -> float:
        pairs = zip(articles, texts, strict=True)
        return sum(gold.score(each.prompt, text) for each, text in pairs) / len(articles)

    whole = [" ".join((*each.news.told(PHRASES, passive=False), ".")) for each in articles]
    best = mean(whole)
    lead = mean([each.lead for each in articles])
    reference = mean([each.reference for each in articles])
    all_of_it = mean([each.text for each in articles])
    assert best > reference + 0.5 > lead + 0.5
    assert reference - lead < 0.3
    assert lead > all_of_it + 0.3


def test_the_summary_of_another_article_is_false(articles: list[Article]) -> None:
    gold = SummariesGold()
    for each, other in pairwise(articles):
        assert gold.score(each.prompt, each.lead) > gold.score(each.prompt, other.lead) + 2
