"""The gold score, each rule worked out by hand from the valence table."""

from __future__ import annotations

import pytest

from label_queue.simulated.gold.reviews import clause_scores, gold_score, response_gold

# good +0.6, bad -0.6, great +1.0, rude -1.0, excellent +1.5; very ×1.5, extremely ×2,
# slightly ×0.4; not ×-0.75, never ×-1, hardly ×-0.5, less ×-0.5


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("", 0.0),
        (". , . and", 0.0),
        ("we tried it in june .", 0.0),
        ("the soup was good .", 0.6),
        ("THE SOUP WAS GOOD .", 0.6),
        # intensifiers: the last one, within two words
        ("the soup was extremely good .", 1.2),
        ("the soup was slightly good .", 0.24),
        ("the soup was very slightly good .", 0.24),
        ("very the soup is good .", 0.6),
        # negation: within four words and the clause, used up by the first sentiment word
        ("the soup was not good .", -0.45),
        ("the soup was never bad .", 0.6),
        ("the soup was hardly very bad .", 0.45),
        ("the soup was less good than in rome .", -0.3),
        ("i did not say this soup is good .", 0.6),
        ("not , the soup was good .", 0.6),
        ("it was not good and the waiter was rude .", -1.45),
        ("never bad rude", 0.6 - 0.5),
        # contrasts weigh sides that disagree
        ("the soup was good but the waiter was rude .", 0.3 - 1.5),
        ("although the soup was good , the waiter was rude .", 0.3 - 1.5),
        ("the waiter was rude although the soup was good .", 0.3 - 1.5),
        ("the soup was good . however , the waiter was rude .", 0.3 - 1.5),
        ("the soup was good but the wine was excellent .", 2.1),
        ("but the soup was good .", 0.6),
        # more of the same counts less
        ("good great excellent", 0.6 + 0.5 + 0.375),
        ("the soup was good . i found it good .", 0.9),
        ("good .", 0.3),
        # repetition costs
        ("the soup was very very good .", 0.9 - 0.5),
        ("the soup was good . the soup was good .", 0.6 + 0.3 - 3 * 0.25),
    ],
)
def test_gold_score(text: str, score: float) -> None:
    assert gold_score(text) == pytest.approx(score)


def test_clauses_are_told_apart() -> None:
    text = "the soup was good but the waiter was rude . the wine was great ."
    assert clause_scores(text) == pytest.approx([0.3, -1.5, 1.0])


def test_a_myopic_reader_remembers_the_end() -> None:
    assert gold_score("the soup was good . it was bad .", gamma=0.5) == pytest.approx(0.3 - 0.6)


def test_a_response_is_read_after_its_prompt() -> None:
    assert response_gold("the soup was not", "bad .") == pytest.approx(0.45)
    assert response_gold("the soup was excellent . it", "was bad .") == pytest.approx(-0.6)


@pytest.mark.parametrize(
    "degenerate",
    [
        "excellent " * 24,
        "excellent . " * 12,
        "very excellent . " * 8,
        "excellent perfect superb " * 8,
    ],
)
def test_degenerate_text_loses_to_sentences(degenerate: str) -> None:
    sentences = (
        "the soup was extremely delicious and i loved the wine . "
        "the waiter was absolutely kind . it was a success ."
    )
    assert gold_score(degenerate) < 0.5 * gold_score(sentences)
