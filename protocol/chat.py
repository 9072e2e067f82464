"""Chat messages at the doors: read from JSON, written as JSON, and told in one text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from protocol.errors import InputError
from protocol.messages import ChatMessage, Role

ROLES: tuple[Role, ...] = get_args(Role)


def read_messages(value: Sequence[Any], where: str) -> tuple[ChatMessage, ...]:
    """Return chat messages from parsed JSON.

    A field that is null counts as not there: tables of messages have it in every row.

    Args:
        value: [{"role": …, "content": …}, …].
        where: What errors begin with, e.g. 'prompts.jsonl, line 3: "prompt", '.

    Raises:
        InputError: A message has another role, no text, or a field that would be lost here.
    """
    return tuple(_read(message, f"{where}message {i}") for i, message in enumerate(value))


def _read(message: object, where: str) -> ChatMessage:
    given = message if isinstance(message, dict) else {}
    role, content = given.get("role"), given.get("content")
    if role not in ROLES or not isinstance(content, str) or not content.strip():
        raise InputError(
            f'{where}: each is {{"role": one of {", ".join(sorted(ROLES))}; "content": text}}'
        )
    for key, other in given.items():
        if key not in ("role", "content") and other is not None:
            raise InputError(f"{where}: {key}: unknown; a message has a role and a content alone")
    return ChatMessage(role=role, content=content)


def as_mappings(messages: Sequence[ChatMessage]) -> list[dict[str, str]]:
    """Return messages as JSON has them, and as chat templates take them."""
    return [{"role": message.role, "content": message.content} for message in messages]


def in_one_text(text: str, messages: Sequence[ChatMessage]) -> str:
    """Return a prompt where only one text has room, e.g. "user: hello there" of a chat.

    It is for reading: what a policy reads of a chat is up to its chat template.

    Args:
        text: The prompt, where it is plain.
        messages: Its turns, where it is a chat.
    """
    if not messages:
        return text
    return "\n\n".join(f"{message.role}: {message.content}" for message in messages)
