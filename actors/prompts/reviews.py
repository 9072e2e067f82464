"""Prompts that are the beginnings of generated reviews."""

from __future__ import annotations

import random

from actors.prompts.generated import GeneratedPrompts
from actors.prompts.grammar import review
from protocol.tokenizing import PolicyTokenizer


class ReviewPrompts(GeneratedPrompts):
    """The first few words of a fresh review each."""

    _source = "reviews"
    _shorten = "prompts.prompt_tokens or response.max_tokens"

    def __init__(
        self,
        tokenizer: PolicyTokenizer,
        *,
        prompt_tokens: int,
        seed: int,
        longest: int | None,
    ) -> None:
        """Take the length P of a prompt, in words of the grammar, and the most tokens it may have.

        Raises:
            InputError: As `draw`; whether the tokenizer fits is tried at once.
        """
        self._prompt_tokens = prompt_tokens
        super().__init__(tokenizer, seed=seed, longest=longest)

    def reseeded(self, seed: int) -> ReviewPrompts:
        """Return another stream, of fresh reviews of that seed, at its beginning."""
        return ReviewPrompts(
            self._tokenizer, prompt_tokens=self._prompt_tokens, seed=seed, longest=self._longest
        )

    def _content(self, rng: random.Random) -> str:
        return " ".join(review(rng)[: self._prompt_tokens])
