"""Prompts that are generated dialogues, up to the turn that is the assistant's."""

from __future__ import annotations

import random

from actors.prompts.dialogues import MAX_PROMPT_TOKENS, dialogue
from actors.prompts.generated import GeneratedPrompts
from protocol.errors import InputError
from protocol.messages import ChatMessage
from protocol.tokenizing import PolicyTokenizer


class DialoguePrompts(GeneratedPrompts):
    """The turns of a fresh dialogue each, as a chat."""

    _source = "dialogues"
    _shorten = "response.max_tokens"

    def __init__(self, tokenizer: PolicyTokenizer, *, seed: int, longest: int | None) -> None:
        """Take what reads the prompts, and the most tokens that one may have.

        Raises:
            InputError: As `draw`; and the longest dialogue does not fit, which is tried at once.
        """
        if longest is not None and longest < MAX_PROMPT_TOKENS:
            raise InputError(
                f"generated dialogues are up to {MAX_PROMPT_TOKENS} tokens long and at most "
                f"{longest} may be: lower {self._shorten}, raise prompts.max_tokens, or take a "
                "model of longer context"
            )
        super().__init__(tokenizer, seed=seed, longest=longest)

    def reseeded(self, seed: int) -> DialoguePrompts:
        """Return another stream, of fresh dialogues of that seed, at its beginning."""
        return DialoguePrompts(self._tokenizer, seed=seed, longest=self._longest)

    def _content(self, rng: random.Random) -> tuple[ChatMessage, ...]:
        return dialogue(rng).turns
