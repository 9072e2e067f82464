"""Prompts that are generated dialogues, up to the turn that is the assistant's."""

from __future__ import annotations

import random

from actors.prompts.dialogues import MAX_PROMPT_TOKENS, dialogue
from actors.prompts.generated import GeneratedPrompts
from protocol.messages import ChatMessage


class DialoguePrompts(GeneratedPrompts):
    """The turns of a fresh dialogue each, as a chat."""

    _source = "dialogues"
    _shorten = "response.max_tokens"
    _most_tokens = MAX_PROMPT_TOKENS

    def reseeded(self, seed: int) -> DialoguePrompts:
        """Return another stream, of fresh dialogues of that seed, at its beginning."""
        return DialoguePrompts(self._tokenizer, seed=seed, longest=self._longest)

    def _content(self, rng: random.Random) -> tuple[ChatMessage, ...]:
        return dialogue(rng).turns
