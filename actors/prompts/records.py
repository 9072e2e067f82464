"""A record's prompt, text or chat messages, checked and made into tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from protocol.errors import InputError
from protocol.messages import Prompt
from protocol.model_folder import ModelFolder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_ROLES = frozenset({"system", "user", "assistant", "tool"})


def prompt_from_record(
    record: object,
    *,
    field: str,
    where: str,
    prompt_id: str,
    tokenizer: PreTrainedTokenizerBase,
    longest: int | None,
    model: ModelFolder | None = None,
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
        model: Whose embeddings the tokens must be within; None takes any token.

    Raises:
        InputError: The prompt is missing, of the wrong type, empty, too long, or holds a token
            that the model has no embedding for.
    """
    if not isinstance(record, dict) or field not in record:
        raise InputError(f'{where}: no "{field}": each record needs {{"{field}": …}}')
    content = record[field]
    if isinstance(content, str):
        text = content
        token_ids = tokenizer(text)["input_ids"] if text.strip() else []
    elif isinstance(content, list):
        text, token_ids = _render(content, field, where, tokenizer)
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
    if model is not None:
        model.check_ids(token_ids, where)
    return Prompt(prompt_id=prompt_id, text=text, token_ids=tuple(token_ids))


def _render(
    messages: list[Any], field: str, where: str, tokenizer: PreTrainedTokenizerBase
) -> tuple[str, list[int]]:
    """Return what a labeler is shown of chat messages, and their tokens by the chat template."""
    for number, message in enumerate(messages):
        if not _is_message(message):
            raise InputError(
                f'{where}: "{field}", message {number}: each is {{"role": one of '
                f'{", ".join(sorted(_ROLES))}; "content": text}}'
            )
    if not tokenizer.chat_template:
        raise InputError(
            f"{where}: chat messages, but the tokenizer has no chat template: give texts, or a "
            "model whose tokenizer has one"
        )
    if not messages:
        return "", []
    rendered: str = tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True
    )
    # The template writes the special tokens itself.
    token_ids = list(tokenizer(rendered, add_special_tokens=False)["input_ids"])
    shown = "\n\n".join(f"{message['role']}: {message['content']}" for message in messages)
    return shown, token_ids


def _is_message(message: object) -> bool:
    return (
        isinstance(message, dict)
        and message.get("role") in _ROLES
        and isinstance(message.get("content"), str)
        and bool(message["content"].strip())
    )
