"""The port of gold scores: what stands behind simulated labelers, and what a report measures.

A gold score is hidden: no part that trains anything imports this package. Labelers answer by it, in
processes of their own, and the reporting side draws it.
"""

from __future__ import annotations

from typing import Protocol


class Gold(Protocol):
    """How good a response is, as the simulated labelers of a run see it."""

    def score(self, prompt: str, response: str, gamma: float = 1.0) -> float:
        """Return the score of a response to a prompt: finite, and 0 for one without words.

        The same arguments always give the same score, in every process.

        Args:
            prompt: In one text; of a chat, its turns with their roles.
            response: As a labeler is shown it.
            gamma: Myopia of the reader, above 0 and up to 1: a part of the response (a clause, a
                sentence) n parts before the last counts gamma^n. 1 remembers everything.
        """
        ...
