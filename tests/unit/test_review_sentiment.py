"""The review grammar and the hidden gold score, written apart, fit together."""

from __future__ import annotations

import numpy as np
import pytest

from actors.prompts import words
from actors.prompts.grammar import review_corpus, vocabulary
from label_queue.simulated.gold import valence
from label_queue.simulated.gold.describing import DESCRIPTION
from label_queue.simulated.gold.reviews import gold_score, response_gold


def test_every_sentiment_word_has_a_valence_of_its_own_sign() -> None:
    good = {word for word, value in valence.VALENCE.items() if value > 0}
    bad = {word for word, value in valence.VALENCE.items() if value < 0}
    assert good == words.positive_words()
    assert bad == words.negative_words()


def test_no_word_is_listed_under_two_valences() -> None:
    listed = [word for line in valence._WORDS_BY_VALENCE.values() for word in line.split()]
    assert len(listed) == len(set(listed)) == len(valence.VALENCE)


def test_every_modifier_and_connective_is_known() -> None:
    degrees = {
        *words.INTENSIFIERS,
        *words.PRAISING_INTENSIFIERS,
        *words.BLAMING_INTENSIFIERS,
        *words.SOFTENERS,
    }
    assert degrees == set(valence.INTENSITY)
    assert set(words.NEGATIONS) | {"less"} == set(valence.NEGATION)
    assert set(words.CONTRASTS) | {"however"} == valence.CONTRASTS
    assert set(words.CONCESSIONS) == valence.CONCESSIONS


def test_every_adjective_and_adverb_describes_and_nothing_else() -> None:
    verbs_and_nouns = {
        *words.POSITIVE_PAST_VERBS,
        *words.NEGATIVE_PAST_VERBS,
        *words.POSITIVE_VERBS,
        *words.NEGATIVE_VERBS,
        *words.POSITIVE_NOUNS,
        *words.NEGATIVE_NOUNS,
    }
    adjectives = (words.positive_words() | words.negative_words()) - verbs_and_nouns
    adverbs = {*valence.INTENSITY, *words.PRAISING_OPENERS, *words.BLAMING_OPENERS}
    assert {word for word, worth in DESCRIPTION.items() if worth == 1.0} == adjectives
    assert {word for word, worth in DESCRIPTION.items() if worth == 0.5} == adverbs


@pytest.fixture(scope="module")
def reviews() -> list[list[str]]:
    return [text.split() for text in review_corpus(5000, seed=11)]


def test_no_word_count_explains_the_gold_score(reviews: list[list[str]]) -> None:
    index = {word: column for column, word in enumerate(vocabulary())}
    counts = np.zeros((len(reviews), len(index) + 1))
    counts[:, -1] = 1
    for row, tokens in enumerate(reviews):
        for token in tokens:
            counts[row, index[token]] += 1
    gold = np.array([gold_score(" ".join(tokens)) for tokens in reviews])
    train, test = slice(0, 4000), slice(4000, None)
    ridge = counts[train].T @ counts[train] + 10 * np.eye(counts.shape[1])
    weights = np.linalg.solve(ridge, counts[train].T @ gold[train])
    residual = gold[test] - counts[test] @ weights
    explained = 1 - residual.var() / gold[test].var()
    assert 0.1 < explained < 0.8


def test_continuations_are_balanced_and_spread(reviews: list[list[str]]) -> None:
    gold = np.array([response_gold(" ".join(r[:8]), " ".join(r[8:32])) for r in reviews])
    assert abs(gold.mean()) < 0.3
    assert 1.5 < gold.std() < 3.0
