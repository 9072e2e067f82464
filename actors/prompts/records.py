"""A record's prompt, text or chat messages, checked and made into tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol.chat import as_mappings, read_messages
from protocol.errors import InputError
from protocol.messages import ChatMessage, Prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def prompt_from_record(
    record: object,
    *,
    field: str,
    where: str,
    prompt_id: str,
    tokenizer: PreTrainedTokenizerBase,
    longest: int | None,
) -> Prompt:
    """Make a Prompt of one record.

    A text becomes its tokens, with the special tokens the tokenizer puts first; chat messages go
    through the tokenizer's chat template, ending where the assistant is to speak.

    Args:
        record: A mapping with the prompt under `field`.
        field: The key.
        where: What errors name, e.g. "prompts.jsonl, line 3".
        prompt_id: The Prompt's id.
        tokenizer: The policy's.
        longest: Tokens of the longest prompt taken; None takes any.

    Raises:
        InputError: The prompt is missing, of the wrong type, empty or too long.
    """
    if not isinstance(record, dict) or field not in record:
        raise InputError(f'{where}: no "{field}": each record needs {{"{field}": …}}')
    content = record[field]
    text = ""
    messages: tuple[ChatMessage, ...] = ()
    if isinstance(content, str):
        text = content
        token_ids = tokenizer(text)["input_ids"] if text.strip() else []
    elif isinstance(content, list):
        messages = read_messages(content, f'{where}: "{field}", ')
        token_ids = _render(messages, where, tokenizer)
    else:
        raise InputError(
            f'{where}: "{field}" is of type {type(content).__name__}: give a text or a list of '
            "chat messages"
        )
    if not token_ids:
        raise InputError(f'{where}: "{field}" is empty: give at least one word')
    if longest is not None and len(token_ids) > longest:
        raise InputError(
            f"{where}: the prompt is {len(token_ids)} tokens long and at most {longest} may be: "
            "shorten it, raise prompts.max_tokens, or take a model of longer context"
        )
    return Prompt(prompt_id=prompt_id, text=text, messages=messages, token_ids=tuple(token_ids))


def _render(
    messages: tuple[ChatMessage, ...], where: str, tokenizer: PreTrainedTokenizerBase
) -> list[int]:
    """Return the tokens of a chat by the tokenizer's chat template."""
    if not tokenizer.chat_template:
        raise InputError(
            f"{where}: chat messages, but the tokenizer has no chat template: give texts, or a "
            "model whose tokenizer has one"
        )
    if not messages:
        return []
    rendered: str = tokenizer.apply_chat_template(
        as_mappings(messages), tokenize=False, add_generation_prompt=True
    )
    # The template writes the special tokens itself.
    return list(tokenizer(rendered, add_special_tokens=False)["input_ids"])
