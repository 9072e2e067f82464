"""The sentiment of any English text, by VADER (Hutto and Gilbert 2014): a lexicon and its rules.

It stands in for people who like what sounds pleased, as a sentiment classifier stood in for them as
the mock labeler of Ziegler et al. (2019), and needs no model to do so. The response is read alone:
what a prompt says is the same for all its responses. VADER is made for sentences, and its authors
take longer texts sentence by sentence, and the mean of those.
"""

from __future__ import annotations

import re
from typing import Any

from protocol.errors import MissingError

MEND = "pip install 'andon[smollm2]'"
_SENTENCE_ENDS = re.compile(r"(?<=[.!?])\s+|\n+")


class VaderGold:
    """VADER's compound score of a response, between −1, all bad, and 1, all good."""

    def __init__(self) -> None:
        """Read the lexicon.

        Raises:
            MissingError: The package vaderSentiment is not installed.
        """
        try:
            from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer
        except ImportError as error:
            raise MissingError(
                f"the gold score 'vader' needs the package vaderSentiment: {MEND}"
            ) from error
        self._analyzer: Any = SentimentIntensityAnalyzer()

    def score(self, prompt: str, response: str, gamma: float = 1.0) -> float:
        """Return the mean of the sentences' compound scores, each weighed by gamma^n.

        Args:
            prompt: Not read.
            response: Any text; sentences end at full stops, marks and lines.
            gamma: A sentence n sentences before the last weighs gamma^n.
        """
        value = weight = 0.0
        for sentence in _SENTENCE_ENDS.split(response):
            if any(character.isalnum() for character in sentence):
                value = gamma * value + self._analyzer.polarity_scores(sentence)["compound"]
                weight = gamma * weight + 1.0
        return value / weight if weight else 0.0
