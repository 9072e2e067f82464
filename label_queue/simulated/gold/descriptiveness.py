"""The gold score of vivid reviews: how much a text describes, whether it praises or blames.

It reads any text, grammatical or not:

1. A describing word is worth what `describing.DESCRIPTION` says.
2. Each further describing word of a clause counts half as much as the one before, and so does each
   further use of a word in the text. A clause of fewer than three words counts half.
3. A word said twice running costs 0.5, and a run of three words that came before costs 0.25.

Rules 2 and 3 are there so that a policy that climbs the score goes on writing sentences.
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
from label_queue.simulated.gold.describing import DESCRIPTION


def description(text: str, gamma: float = 1.0) -> float:
    """Return how much a whole text describes: its clauses' sum less the cost of repetition.

    Args:
        text: Words and marks between whitespace; words that are not known describe nothing.
        gamma: A clause n clauses before the last counts gamma^n.
    """
    tokens = text.lower().split()
    uses: Counter[str] = Counter()
    values = [_clause_value(clause, uses) for clause in cut_into_clauses(tokens)]
    return remembered(values, gamma) - repetition_cost(tokens)


def _clause_value(clause: Clause, uses: Counter[str]) -> float:
    """Return what one clause describes; `uses` counts describing words over the text."""
    value, share = 0.0, 1.0
    for word in clause.words:
        if word in DESCRIPTION:
            value += share * REPEAT_FACTOR ** uses[word] * DESCRIPTION[word]
            uses[word] += 1
            share *= REPEAT_FACTOR
    return value * clause.factor


class DescriptivenessGold:
    """How much a response describes beyond its prompt."""

    def score(self, prompt: str, response: str, gamma: float = 1.0) -> float:
        """Return what a response adds to the description that its prompt gives."""
        return description(f"{prompt} {response}", gamma) - description(prompt, gamma)
