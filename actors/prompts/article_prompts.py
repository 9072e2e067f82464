"""Prompts that are generated articles, each with the suffix that asks for a summary."""

from __future__ import annotations

import random

from actors.prompts.articles import MAX_PROMPT_TOKENS, article
from actors.prompts.generated import GeneratedPrompts


class ArticlePrompts(GeneratedPrompts):
    """A fresh article each, and "TL;DR:"."""

    _source = "articles"
    _shorten = "response.max_tokens"
    _most_tokens = MAX_PROMPT_TOKENS

    def reseeded(self, seed: int) -> ArticlePrompts:
        """Return another stream, of fresh articles of that seed, at its beginning."""
        return ArticlePrompts(self._tokenizer, seed=seed, longest=self._longest)

    def _content(self, rng: random.Random) -> str:
        return article(rng).prompt
