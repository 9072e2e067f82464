"""Prompts that are written afresh: number n depends on the seed and n only."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from typing import ClassVar, Self

from protocol.chat import in_one_text
from protocol.errors import InputError
from protocol.messages import ChatMessage, Prompt
from protocol.tokenizing import PolicyTokenizer


class GeneratedPrompts(ABC):
    """An endless stream of prompts, each made by `_content` from random numbers of its own."""

    _source: ClassVar[str]
    """As `prompts.source` names it."""
    _shorten: ClassVar[str]
    """What a config is to lower where a prompt is too long."""
    _most_tokens: ClassVar[int] = 0
    """What the longest has; 0: as many as the config says."""

    def __init__(self, tokenizer: PolicyTokenizer, *, seed: int, longest: int | None) -> None:
        """Take what reads the prompts, and the most tokens that one may have.

        Raises:
            InputError: As `draw`; whether tokenizer and longest prompt fit is tried at once.
        """
        if longest is not None and longest < self._most_tokens:
            raise InputError(
                f"generated {self._source} are up to {self._most_tokens} tokens long and at most "
                f"{longest} may be: lower {self._shorten}, raise prompts.max_tokens, or take a "
                "model of longer context"
            )
        self._tokenizer = tokenizer
        self._seed = seed
        self._longest = longest
        self._num_drawn = 0
        self._at(0)

    @abstractmethod
    def reseeded(self, seed: int) -> Self:
        """Return another stream, of fresh texts of that seed, at its beginning."""

    @abstractmethod
    def _content(self, rng: random.Random) -> str | tuple[ChatMessage, ...]:
        """Write one prompt, a text or a chat; words and marks between single spaces."""

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
        content = self._content(random.Random(f"{self._seed}-{number}"))
        text, messages = (content, ()) if isinstance(content, str) else ("", content)
        where = f"the generated prompt {in_one_text(text, messages)!r}"
        token_ids = self._tokenizer.prompt_ids(content, where=where)
        if not self._tokenizer.knows_all(token_ids):
            raise InputError(
                f"the tokenizer does not know all words of {where}: "
                f'train it on generated {self._source}, or set prompts.source to "jsonl" or "hub"'
            )
        if self._longest is not None and len(token_ids) > self._longest:
            raise InputError(
                f"{where} is {len(token_ids)} tokens long and at most "
                f"{self._longest} may be: lower {self._shorten}, "
                "raise prompts.max_tokens, or take a model of longer context"
            )
        return Prompt(
            prompt_id=f"{self._source}-{number:06d}",
            text=text,
            messages=messages,
            token_ids=token_ids,
        )
