"""Prompts that are the beginnings of generated reviews."""

from __future__ import annotations

import random

from actors.prompts.grammar import review
from protocol.errors import InputError
from protocol.messages import Prompt
from protocol.tokenizing import PolicyTokenizer


class ReviewPrompts:
    """The first few words of a fresh review each; prompt n depends on the seed and n only."""

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
        self._tokenizer = tokenizer
        self._prompt_tokens = prompt_tokens
        self._seed = seed
        self._longest = longest
        self._num_drawn = 0
        self._at(0)

    def reseeded(self, seed: int) -> ReviewPrompts:
        """Return another stream, of fresh reviews of that seed, at its beginning."""
        return ReviewPrompts(
            self._tokenizer, prompt_tokens=self._prompt_tokens, seed=seed, longest=self._longest
        )

    def draw(self, count: int) -> list[Prompt]:
        """Return the next `count` prompts.

        Raises:
            InputError: The tokenizer does not know a word of the grammar, or makes more tokens of
                a prompt than there is room for.
        """
        drawn = [self._at(number) for number in range(self._num_drawn, self._num_drawn + count)]
        self._num_drawn += count
        return drawn

    def skip(self, count: int) -> None:
        """Pass over the next `count` prompts."""
        self._num_drawn += count

    def _at(self, number: int) -> Prompt:
        words = review(random.Random(f"{self._seed}-{number}"))[: self._prompt_tokens]
        text = " ".join(words)
        token_ids = self._tokenizer.prompt_ids(text, where=f"the generated prompt {text!r}")
        if not self._tokenizer.knows_all(token_ids):
            raise InputError(
                f"the tokenizer does not know all words of the generated prompt {text!r}: "
                'train it on generated reviews, or set prompts.source to "jsonl" or "hub"'
            )
        if self._longest is not None and len(token_ids) > self._longest:
            raise InputError(
                f"the generated prompt {text!r} is {len(token_ids)} tokens long and at most "
                f"{self._longest} may be: lower prompts.prompt_tokens or response.max_tokens, "
                "raise prompts.max_tokens, or take a model of longer context"
            )
        return Prompt(prompt_id=f"reviews-{number:06d}", text=text, token_ids=token_ids)
