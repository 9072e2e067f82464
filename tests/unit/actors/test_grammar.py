"""The review grammar: closed vocabulary, well-formed and balanced reviews, fixed by its seed."""

from __future__ import annotations

import random

import pytest

from actors.prompts import words
from actors.prompts.grammar import (
    MAX_REVIEW_TOKENS,
    MIN_REVIEW_TOKENS,
    review,
    review_corpus,
    vocabulary,
)


@pytest.fixture(scope="module")
def corpus() -> list[str]:
    return review_corpus(4000, seed=3)


def test_the_vocabulary_is_several_hundred_lower_case_words_and_two_marks() -> None:
    known = vocabulary()
    assert 300 <= len(known) <= 600
    assert len(set(known)) == len(known)
    assert all(word == word.lower() and (word.isalpha() or word in {".", ","}) for word in known)


def test_a_few_thousand_reviews_hold_the_vocabulary_and_nothing_else(corpus: list[str]) -> None:
    assert {word for text in corpus for word in text.split()} == set(vocabulary())


def test_every_review_is_whole_sentences_within_its_bounds(corpus: list[str]) -> None:
    for text in corpus:
        tokens = text.split()
        assert MIN_REVIEW_TOKENS <= len(tokens) <= MAX_REVIEW_TOKENS
        assert tokens[-1] == "."
        assert all(sentence.strip() for sentence in text[:-1].split("."))
        assert ". ." not in text
        assert ", ." not in text


def test_a_review_keeps_to_one_subject(corpus: list[str]) -> None:
    names = {subject.name for subject in words.SUBJECTS}
    owners = {word: s.name for s in words.SUBJECTS for word in s.positive + s.negative}
    for text in corpus[:500]:
        subjects = {owners[word] for word in text.split() if word in owners}
        subjects |= names.intersection(text.split())
        assert len(subjects) <= 1


def test_no_word_is_both_good_and_bad() -> None:
    assert not words.positive_words() & words.negative_words()


def test_a_good_part_of_what_is_said_is_turned_round(corpus: list[str]) -> None:
    negations = sum(text.split().count(word) for text in corpus for word in words.NEGATIONS)
    sentiments = words.positive_words() | words.negative_words()
    total = sum(word in sentiments for text in corpus for word in text.split())
    assert 0.08 <= negations / total <= 0.3


def test_good_and_bad_words_come_equally_often(corpus: list[str]) -> None:
    tokens = [word for text in corpus for word in text.split()]
    good = sum(word in words.positive_words() for word in tokens)
    bad = sum(word in words.negative_words() for word in tokens)
    assert good / (good + bad) == pytest.approx(0.5, abs=0.03)


def test_the_seed_decides_the_corpus() -> None:
    assert review_corpus(5, seed=1) == review_corpus(5, seed=1)
    assert review_corpus(5, seed=1) != review_corpus(5, seed=2)
    assert " ".join(review(random.Random(1))) == review_corpus(1, seed=1)[0]
