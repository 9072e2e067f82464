"""The gold score of a book's nodes: what is true of the prompt and covers its news, in few words.

It is the score of summaries, of a prompt with several news: every deed that the prompt tells is
one, but for those it puts into the past ("a year ago the baker sold two boats"). What is true is
what the node's own prompt says, as it is for people, who see nothing else: a passage, or summaries
that the policy wrote. An error below is charged where it was made, and not again above.

With as many words as a summary may have, who did what to what of all news is worth more than all
there is to know of some: so the higher a node, the fewer details.
"""

from __future__ import annotations

from label_queue.simulated.gold.facts import deeds
from label_queue.simulated.gold.summaries import worth

PAST = frozenset({"ago", "before", "earlier", "winter"})
"""Words of which one stands before a deed that is put into the past: "last winter the mayor …"."""


class BooksGold:
    """How well a response sums up the node that its prompt is."""

    def score(self, prompt: str, response: str, gamma: float = 1.0) -> float:
        """Return the worth of the response's facts less what is false and what it costs to read.

        Args:
            prompt: A passage or summaries; what follows to ask for a summary states nothing.
            response: The summary.
            gamma: A clause n clauses before the last counts gamma^n.
        """
        news = frozenset(deed for deed, before in deeds(prompt) if PAST.isdisjoint(before))
        return worth(prompt, response, news, gamma)
