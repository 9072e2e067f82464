"""The word-level tokenizer of a base model of one's own. No torch: a start asks it first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

SPECIAL_TOKENS = ("<pad>", "<eos>", "<unk>")
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }} {% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
"""A chat as generated dialogues are written. Its marks are words: text that holds one reads as
another turn, so it is for prompts of our own."""


def build_tokenizer(texts: Sequence[str], *, takes_chats: bool = False) -> Any:
    """Return a tokenizer whose vocabulary is the words of the texts, most frequent first.

    Words are what stands between blanks, so punctuation that is to be a token of its own is written
    with a blank before it, and decoding gives the text back.

    Args:
        texts: Words between blanks.
        takes_chats: Whether it has a chat template, whose marks the texts hold.
    """
    counts: dict[str, int] = {}
    for text in texts:
        for word in text.split():
            counts[word] = counts.get(word, 0) + 1
    words = sorted(counts, key=lambda word: (-counts[word], word))
    vocabulary = {word: index for index, word in enumerate((*SPECIAL_TOKENS, *words))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token="<unk>",
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE if takes_chats else None,
    )
