"""The gold score of summaries: what is true of the article and covers its news, in few words.

It reads any text, grammatical or not, beside the article that its prompt holds:

1. A fact that the article states counts once: `NEWS_WORTH` where it is of the article's news, which
   is the first deed it tells, and `OTHER_WORTH` where it is of another.
2. A fact that the article does not state costs `FALSE_COST`.
3. Each word costs `WORD_COST`, a word said twice running 0.5, and a run of three words that came
   before 0.25.

So the best there is are the news' facts in one sentence; what is copied word for word is neither
better nor worse for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from label_queue.simulated.gold.clauses import remembered, repetition_cost
from label_queue.simulated.gold.facts import Slot, clauses_facts, facts, news_of

NEWS_WORTH: Mapping[Slot, float] = MappingProxyType(
    {
        **dict.fromkeys(("did", "who", "what"), 1.0),
        **dict.fromkeys(("count", "where", "when", "why"), 0.75),
    }
)
OTHER_WORTH = 0.25
FALSE_COST = 1.0
WORD_COST = 0.1


class SummariesGold:
    """How well a response sums up the article that its prompt is."""

    def score(self, prompt: str, response: str, gamma: float = 1.0) -> float:
        """Return the worth of the response's facts less what is false and what it costs to read.

        Args:
            prompt: The article; what follows it to ask for a summary states nothing.
            response: The summary.
            gamma: A clause n clauses before the last counts gamma^n.
        """
        return worth(prompt, response, frozenset({news_of(facts(prompt))}), gamma)


def worth(prompt: str, response: str, news: frozenset[str], gamma: float) -> float:
    """Return what a summary is worth.

    Args:
        prompt: What it sums up.
        response: The summary.
        news: The deeds whose facts are news.
        gamma: A clause n clauses before the last counts gamma^n.
    """
    known, said = set(facts(prompt)), set()
    values = []
    for clause in clauses_facts(response):
        value = 0.0
        for fact in clause:
            if fact in said:
                continue
            said.add(fact)
            if fact not in known:
                value -= FALSE_COST
            else:
                value += NEWS_WORTH[fact.slot] if fact.deed in news else OTHER_WORTH
        values.append(value)
    words = response.lower().split()
    return remembered(values, gamma) - WORD_COST * len(words) - repetition_cost(words)
