"""Facts as labelers read them, and the gold score of summaries, worked out by hand."""

from __future__ import annotations

import pytest

from label_queue.simulated.gold.facts import Fact, clauses_facts, facts, news_of
from label_queue.simulated.gold.summaries import SummariesGold

ARTICLE = (
    "the mayor opened seven schools in lisbon . nobody was hurt . it happened on monday after the "
    "storm . a year ago nine boats were sold by the baker in oslo . the weather was fine . TL;DR:"
)


def said(text: str) -> list[str]:
    return [f"{fact.deed}:{fact.slot}={fact.value}" for fact in facts(text)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("the mayor opened seven schools", "did=opened who=mayor count=seven what=schools"),
        ("seven schools were opened by the mayor", "did=opened count=seven what=schools who=mayor"),
        ("the mayor opened the schools", "did=opened who=mayor what=schools"),
        ("the schools were opened in lisbon", "did=opened what=schools where=lisbon"),
        ("last year the mayor opened schools", "did=opened who=mayor"),
        ("opened seven schools", "did=opened count=seven what=schools"),
        ("the mayor opened seven", "did=opened who=mayor"),
        ("opened after the storm on monday", "did=opened why=storm when=monday"),
        ("opened in in on the after storm", "did=opened"),
        ("The Mayor OPENED", "did=opened who=mayor"),
        ("mayor opened by the baker", "did=opened"),
        ("the mayor opened sold", "did=opened who=mayor"),
    ],
)
def test_facts_are_read_off_the_form_of_a_sentence(text: str, wanted: str) -> None:
    assert said(text) == [f"opened:{each}" for each in wanted.split()]


def test_a_clause_without_a_deed_goes_on_about_the_one_before() -> None:
    assert said("on monday . the mayor opened . it was in rome , on friday and after the fire") == [
        "opened:did=opened",
        "opened:who=mayor",
        "opened:where=rome",
        "opened:when=friday",
        "opened:why=fire",
    ]
    assert said("sold . opened . in rome")[-1] == "opened:where=rome"


def test_facts_are_each_told_once_and_stay_with_their_clause() -> None:
    assert [len(each) for each in clauses_facts("sold . . we sold , in rome .")] == [1, 1, 1]
    assert said("sold . we sold") == ["sold:did=sold"]


def test_the_news_is_the_deed_that_is_told_first() -> None:
    assert news_of(facts(ARTICLE)) == "opened"
    assert news_of([]) == ""
    assert Fact(deed="sold", slot="count", value="nine") in facts(ARTICLE)


# 1 for each of deed, who and what of the news, 0.75 for each other, 0.25 for what is no news; a
# false fact −1; a word −0.1.
@pytest.mark.parametrize(
    ("summary", "score"),
    [
        ("the mayor opened the schools .", 3.0 - 0.6),
        ("seven schools were opened by the mayor in lisbon .", 4.5 - 1.0),
        ("the mayor opened seven schools on monday after the storm in lisbon .", 6.0 - 1.3),
        ("the mayor opened nine schools .", 3.0 - 1.0 - 0.6),
        ("the mayor opened seven schools in oslo .", 3.75 - 1.0 - 0.8),
        ("the baker sold nine boats .", 4 * 0.25 - 0.6),
        ("the baker opened .", 1.0 - 1.0 - 0.4),
        ("the tailor burned two maps .", -5.0 + 1.0 - 0.6),
        ("the mayor opened . the mayor opened .", 2.0 - 0.8 - 0.25 * 2),
        ("in lisbon on monday .", -0.5),
        ("nobody was hurt .", -0.4),
    ],
)
def test_a_summary_s_worth(summary: str, score: float) -> None:
    assert SummariesGold().score(ARTICLE, summary) == pytest.approx(score)


def test_of_an_article_that_states_nothing_everything_is_false() -> None:
    assert SummariesGold().score("we went home", "the mayor opened .") == pytest.approx(-2.4)


def test_copying_is_worth_as_much_as_saying_it_anew() -> None:
    gold = SummariesGold()
    copied = "the mayor opened seven schools in lisbon ."
    assert gold.score(ARTICLE, copied) == gold.score(
        ARTICLE, "in lisbon the mayor opened seven schools ."
    )
