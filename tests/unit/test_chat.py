"""Chat messages at the doors."""

from __future__ import annotations

import pytest

from protocol.chat import as_mappings, in_one_text, read_messages
from protocol.errors import InputError
from protocol.messages import ChatMessage

TURNS = (
    ChatMessage(role="system", content="Be brief."),
    ChatMessage(role="user", content=" Hi\n"),
)
SAID = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": " Hi\n"}]


def test_messages_come_and_go_as_they_are() -> None:
    assert read_messages(SAID, "") == TURNS
    assert as_mappings(TURNS) == SAID


def test_a_field_that_is_null_is_none() -> None:
    assert read_messages([{**SAID[0], "tool_calls": None, "name": None}], "") == TURNS[:1]


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ("Hi", "each is"),
        (None, "each is"),
        ({"role": "boss", "content": "Hi"}, "role"),
        ({"role": ["user"], "content": "Hi"}, "role"),
        ({"role": "user", "content": [{"type": "text", "text": "Hi"}]}, "content"),
        ({"role": "user", "content": " \n"}, "content"),
        ({"role": "user", "content": "Hi", "name": "ann"}, "name: unknown"),
        ({"role": "assistant", "content": "Hi", "tool_calls": [{}]}, "tool_calls: unknown"),
    ],
)
def test_what_would_be_lost_is_refused_with_its_place(message: object, problem: str) -> None:
    with pytest.raises(InputError) as refused:
        read_messages([SAID[0], message], "p.jsonl, line 3: ")
    assert str(refused.value).startswith("p.jsonl, line 3: message 1: ")
    assert problem in str(refused.value)


def test_one_text_names_the_roles_of_a_chat_and_leaves_a_plain_prompt_alone() -> None:
    assert in_one_text("", TURNS) == "system: Be brief.\n\nuser:  Hi\n"
    assert in_one_text("user: Hi", ()) == "user: Hi"
