"""The gold score of generated reviews: how good a text says its subject is.

It reads any text, grammatical or not, left to right:

1. Marks and connectives cut the text into clauses.
2. A sentiment word is worth its valence. The last intensifier up to two words before it multiplies
   that, and so does a negation up to four words before it. Both are used up by the first sentiment
   word they reach, and neither reaches out of its clause.
3. Each further sentiment word of a clause counts half as much as the one before, and so does each
   further use of a word in the text. A clause of fewer than three words counts half.
4. Two sides of a contrast that disagree are weighed: the conceded side by 0.5, the
   asserted side by 1.5. Sides that agree are left alone: "good but excellent" is no contrast.
5. A word said twice running costs 0.5, and a run of three words that came before costs 0.25.

Rules 3 to 5 are there so that a policy that climbs the score goes on writing sentences.
"""

from __future__ import annotations

from collections import Counter

from label_queue.simulated.gold.clauses import (
    REPEAT_FACTOR,
    Clause,
    cut_into_clauses,
    remembered,
    repetition_cost,
)
from label_queue.simulated.gold.valence import CONCESSIONS, CONTRASTS, INTENSITY, NEGATION, VALENCE

INTENSIFIER_REACH = 2
NEGATION_REACH = 4
CONCEDED_WEIGHT = 0.5
ASSERTED_WEIGHT = 1.5


def _clause_value(clause: Clause, uses: Counter[str]) -> float:
    """Return what one clause says by itself; `uses` counts sentiment words over the text."""
    value = 0.0
    share = 1.0
    intensity, intensity_until = 1.0, -1
    negation, negation_until = 1.0, -1
    for position, word in enumerate(clause.words):
        if word in INTENSITY:
            intensity, intensity_until = INTENSITY[word], position + INTENSIFIER_REACH
        elif word in NEGATION:
            negation, negation_until = NEGATION[word], position + NEGATION_REACH
        elif word in VALENCE:
            factor = share * REPEAT_FACTOR ** uses[word]
            factor *= intensity if position <= intensity_until else 1.0
            factor *= negation if position <= negation_until else 1.0
            value += factor * VALENCE[word]
            uses[word] += 1
            share *= REPEAT_FACTOR
            intensity_until = negation_until = -1
    return value * clause.factor


def _weigh(sides: tuple[list[int], list[int]], values: list[float], weights: list[float]) -> None:
    """Weigh a conceded and an asserted side, given as clause indices, where they disagree."""
    conceded, asserted = sides
    if sum(values[i] for i in conceded) * sum(values[i] for i in asserted) >= 0:
        return
    for i in conceded:
        weights[i] = CONCEDED_WEIGHT
    for i in asserted:
        weights[i] = ASSERTED_WEIGHT


def _contrast_weights(clauses: list[Clause], values: list[float]) -> list[float]:
    """Return the weight of each clause beside its contrasting neighbours."""
    weights = [1.0] * len(clauses)
    for here, clause in enumerate(clauses):
        same = [i for i, other in enumerate(clauses) if other.sentence == clause.sentence]
        before, after = [i for i in same if i < here], [i for i in same if i >= here]
        if clause.opener in CONCESSIONS:
            _weigh(([here], [i for i in same if i != here]), values, weights)
        elif clause.opener in CONTRASTS:
            # At the beginning of a sentence it turns against the clause that ended the last one.
            _weigh((before or list(range(here))[-1:], after), values, weights)
    return weights


def clause_scores(text: str) -> list[float]:
    """Return what each clause adds to the score, in order, contrasts weighed.

    Args:
        text: Words and marks between whitespace; words that are not known are neutral.
    """
    clauses = cut_into_clauses(text.lower().split())
    uses: Counter[str] = Counter()
    values = [_clause_value(clause, uses) for clause in clauses]
    weights = _contrast_weights(clauses, values)
    return [weight * value for weight, value in zip(weights, values, strict=True)]


def gold_score(text: str, gamma: float = 1.0) -> float:
    """Return the gold score of a whole text: its clauses' sum less the cost of repetition.

    Args:
        text: As for `clause_scores`.
        gamma: Myopia of the reader; a clause n clauses before the last counts gamma^n.
    """
    return remembered(clause_scores(text), gamma) - repetition_cost(text.lower().split())


def response_gold(prompt: str, response: str, gamma: float = 1.0) -> float:
    """Return what a response adds to the gold score of its prompt.

    The response is read after the prompt, so "was not" before "bad" counts; what the prompt says
    by itself, the same for all its responses, is taken off.
    """
    return gold_score(f"{prompt} {response}", gamma) - gold_score(prompt, gamma)


class ReviewsGold:
    """The gold score of generated reviews."""

    def score(self, prompt: str, response: str, gamma: float = 1.0) -> float:
        """Return what a response adds to the gold score of its prompt; as `response_gold`."""
        return response_gold(prompt, response, gamma)
