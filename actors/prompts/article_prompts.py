"""Prompts that are generated articles, each with the suffix that asks for a summary."""

from __future__ import annotations

import random

from actors.prompts.articles import MAX_PROMPT_TOKENS, article
from actors.prompts.generated import GeneratedPrompts
from protocol.errors import InputError
from protocol.tokenizing import PolicyTokenizer


class ArticlePrompts(GeneratedPrompts):
    """A fresh article each, and "TL;DR:"."""

    _source = "articles"
    _shorten = "response.max_tokens"

    def __init__(self, tokenizer: PolicyTokenizer, *, seed: int, longest: int | None) -> None:
        """Take what reads the prompts, and the most tokens that one may have.

        Raises:
            InputError: As `draw`; and the longest article does not fit, which is tried at once.
        """
        if longest is not None and longest < MAX_PROMPT_TOKENS:
            raise InputError(
                f"generated articles are up to {MAX_PROMPT_TOKENS} tokens long and at most "
                f"{longest} may be: lower {self._shorten}, raise prompts.max_tokens, or take a "
                "model of longer context"
            )
        super().__init__(tokenizer, seed=seed, longest=longest)

    def reseeded(self, seed: int) -> ArticlePrompts:
        """Return another stream, of fresh articles of that seed, at its beginning."""
        return ArticlePrompts(self._tokenizer, seed=seed, longest=self._longest)

    def _content(self, rng: random.Random) -> str:
        return article(rng).prompt
