"""The gold scores behind their port, and how a config finds them."""

from __future__ import annotations

import sys
from typing import Any, get_args

import pytest

from cluster.config_file import parse_config
from label_queue.simulated.config import GoldName
from label_queue.simulated.gold.books import BooksGold
from label_queue.simulated.gold.descriptiveness import DescriptivenessGold, description
from label_queue.simulated.gold.dialogues import DialoguesGold
from label_queue.simulated.gold.port import Gold
from label_queue.simulated.gold.registry import gold_of
from label_queue.simulated.gold.reviews import ReviewsGold, response_gold
from label_queue.simulated.gold.summaries import SummariesGold
from label_queue.simulated.gold.vader import VaderGold
from protocol.errors import ConfigError, MissingError
from tests.support.gold_contract import GoldContract


class TestReviewsGold(GoldContract, of=ReviewsGold):
    prompt = "the soup"
    better = "was excellent ."
    worse = "was dreadful ."

    def gold(self) -> Gold:
        return ReviewsGold()


class TestDescriptivenessGold(GoldContract, of=DescriptivenessGold):
    prompt = "the soup"
    better = "was extremely greasy ."
    worse = "came with bread ."

    def gold(self) -> Gold:
        return DescriptivenessGold()


class TestSummariesGold(GoldContract, of=SummariesGold):
    prompt = "the mayor opened seven schools in lisbon . it happened on monday . TL;DR:"
    better = "the mayor opened seven schools on monday ."
    worse = "the baker sold nine boats in oslo on friday after the flood ."

    def gold(self) -> Gold:
        return SummariesGold()


class TestBooksGold(GoldContract, of=BooksGold):
    prompt = (
        "the mayor opened seven schools in lisbon . a year ago the baker sold two boats .\n"
        "the nurse lost nine maps . TL;DR:"
    )
    better = "the nurse lost the maps ."
    worse = "the baker opened nine boats in oslo on friday after the flood ."

    def gold(self) -> Gold:
        return BooksGold()


class TestDialoguesGold(GoldContract, of=DialoguesGold):
    prompt = "user: a table for four .\n\nassistant: when ?\n\nuser: on friday ."
    better = "a table for four ."
    worse = "a table for five on monday in oslo ."

    def gold(self) -> Gold:
        return DialoguesGold()


class TestVaderGold(GoldContract, of=VaderGold):
    prompt = "After the concert, I felt"
    better = "happy and proud."
    worse = "sad and ashamed."

    def gold(self) -> Gold:
        return VaderGold()


def test_the_gold_of_reviews_reads_the_response_after_its_prompt() -> None:
    prompt, response = "the soup was not", "bad . the waiter was rude ."
    for gamma in (1.0, 0.5):
        wanted = response_gold(prompt, response, gamma)
        assert ReviewsGold().score(prompt, response, gamma) == wanted


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("we tried it in june .", 0.0),
        ("the soup was good .", 1.0),
        ("the soup was dreadful .", 1.0),
        ("the soup was very good .", 0.5 + 0.5 * 1.0),
        ("the soup was not good .", 1.0),  # described all the same
        ("the soup was good and the waiter was rude .", 2.0),
        ("the soup was good . i found it good .", 1.0 + 0.5),
        ("good .", 0.5),
        ("the soup was very very good .", 0.5 + 0.5 * 0.5 * 0.5 + 0.25 * 1.0 - 0.5),
        ("I loved the joy .", 0.0),
    ],
)
def test_description_worked_out_by_hand(text: str, score: float) -> None:
    assert description(text) == pytest.approx(score)


def test_a_list_of_adjectives_describes_less_than_sentences() -> None:
    listed = "excellent perfect superb bland stale greasy " * 4
    told = "the very fresh soup was greasy and the waiter was extremely rude . sadly it was late ."
    assert description(listed) < 0.5 * description(told)


CHAT = (
    "user: a table for four on friday .\n\nassistant: in rome ?\n\n"
    "user: in oslo . rather on sunday ."
)


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("for four .", 1.0 - 0.3),
        ("a table for four on sunday in oslo .", 3.0 - 0.9),
        ("on friday .", -1.0 - 0.3),  # changed since
        ("for sunday on four .", -2.0 - 0.5),  # the words of others
        ("in rome .", -1.0 - 0.3),  # the assistant said so
        ("on sunday on sunday .", 1.0 - 0.5),  # said once
        ("on sunday on sunday on sunday .", 1.0 - 0.7 - 0.25 * 2),  # two runs came before
        ("with pleasure .", -0.3),
        ("in on the for", -0.4),
    ],
)
def test_a_confirmation_worked_out_by_hand(text: str, score: float) -> None:
    assert DialoguesGold().score(CHAT, text) == pytest.approx(score)


def test_all_of_a_plain_prompt_is_a_user_s() -> None:
    assert DialoguesGold().score("a table for two on friday , rather on sunday", "on sunday") > 0


# Lexicon: good 1.9, great 3.1, horrible −2.5. The sum s of a sentence becomes s/√(s² + 15). "very"
# adds 0.293 to the next word, capitals beside others 0.733, each "!" up to four 0.292; "not"
# multiplies by −0.74; after "but" a word counts 1.5 times, before it 0.5 times.
@pytest.mark.parametrize(
    ("sentence", "score"),
    [
        ("The food was good.", 0.4404),  # 1.9
        ("The food was not good.", -0.3412),  # −0.74 × 1.9 = −1.406
        ("The food was very good.", 0.4927),  # 1.9 + 0.293 = 2.193
        ("The food was GOOD.", 0.5622),  # 1.9 + 0.733 = 2.633
        ("The food was good!", 0.4926),  # 1.9 + 0.292 = 2.192
        ("The food was great, but the service was horrible.", -0.4939),  # 1.55 − 3.75 = −2.2
        ("The table was brown.", 0.0),
    ],
)
def test_vader_s_rules_worked_out_by_hand(sentence: str, score: float) -> None:
    assert VaderGold().score("", sentence) == pytest.approx(score, abs=2e-4)


def test_a_longer_text_is_the_mean_of_its_sentences() -> None:
    text = "The food was good. The table was brown!\nWe left"
    assert VaderGold().score("It was awful.", text) == pytest.approx(0.4404 / 3, abs=1e-4)


def test_a_myopic_reader_weighs_the_last_sentence_most() -> None:
    text = "The food was good. The food was not good."
    wanted = (0.5 * 0.4404 - 0.3412) / 1.5
    assert VaderGold().score("", text, gamma=0.5) == pytest.approx(wanted, abs=2e-4)


@pytest.mark.parametrize("name", get_args(GoldName))
def test_each_name_has_a_score_that_is_made_once(name: GoldName) -> None:
    assert gold_of(name) is gold_of(name)
    prompt = {
        **dict.fromkeys(("summaries", "books"), "the mayor opened the schools ."),
        "dialogues": "a table for two in oslo .",
    }.get(name, "the soup was")
    assert gold_of(name).score(prompt, f"good . {prompt}") > 0


def test_without_its_package_vader_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vaderSentiment.vaderSentiment", None)
    with pytest.raises(MissingError, match=r"vaderSentiment: pip install 'andon\[smollm2\]'"):
        VaderGold()


def config_gold(**changes: Any) -> GoldName | None:
    return parse_config(
        {
            "prompts": {"source": "jsonl", "path": "p.jsonl"},
            "policy": {"path": "model"},
            "people": ["ann"],
            "run": {"episodes": 5120},
            **changes,
        },
        "test",
    ).gold


def test_a_run_s_gold_is_the_one_named_else_that_of_reviews_where_there_is_one() -> None:
    robot = [{"name": "robot"}]
    named = {"labels": {"simulated": {"gold": "vader"}}}
    assert config_gold() is None
    assert config_gold(labelers=robot) == "reviews"
    assert config_gold(prompts={"source": "reviews"}) == "reviews"
    assert config_gold(prompts={"source": "articles"}) == "summaries"
    assert config_gold(prompts={"source": "books"}) == "books"
    assert config_gold(prompts={"source": "dialogues"}) == "dialogues"
    assert config_gold(prompts={"source": "books", "path": "b.jsonl"}) is None
    assert config_gold(**named) == "vader"
    assert config_gold(prompts={"source": "reviews"}, labelers=robot, **named) == "vader"


def test_a_gold_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(
        ConfigError,
        match=r"labels\.simulated\.gold: .*'reviews', 'descriptiveness', 'summaries', 'books', ",
    ):
        config_gold(labels={"simulated": {"gold": "best"}})
