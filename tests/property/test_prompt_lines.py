"""Whatever a prompt file holds: prompts, or one line that says what is wrong and where."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from actors.prompts.config import PromptsConfig
from actors.prompts.source import build_prompt_source
from protocol.errors import InputError
from protocol.messages import ChatMessage, Role
from protocol.tokenizing import PolicyTokenizer
from tests.support import tokenizers_of_all_kinds as kinds

CONTROLS = ["<|im_end|>", "<|im_start|>", "<end_of_turn>", "<bos>", "<s>", "</s>", "<eos>", "[SEP]"]
# Lone surrogates and private-use characters among them.
CHARACTERS = st.characters(exclude_categories=())
PIECES = st.one_of(st.sampled_from([*CONTROLS, "<think>", " ", "\n", "the soup"]), CHARACTERS)
TEXTS = st.lists(PIECES, max_size=8).map("".join)
ROLES = st.sampled_from(["system", "user", "assistant", "tool", "me"])
MESSAGES = st.lists(
    st.one_of(
        st.fixed_dictionaries({"role": ROLES, "content": TEXTS}),
        st.dictionaries(st.sampled_from(["role", "content", "name"]), st.one_of(TEXTS, st.none())),
        TEXTS,
    ),
    max_size=4,
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)
RECORDS = st.one_of(st.fixed_dictionaries({"prompt": st.one_of(TEXTS, MESSAGES, JSON)}), JSON).map(
    lambda record: json.dumps(record).encode()
)
LINES = st.lists(st.one_of(RECORDS, st.binary(max_size=30)), max_size=3).map(b"\n".join)


@cache
def tokenizer(kind: str) -> Any:
    return kinds.ALL_KINDS[kind]()


@given(LINES, st.sampled_from(sorted(kinds.ALL_KINDS)))
@example(b'{"prompt": "\\ud800"}', "chatml")
@example(b'{"prompt": [{"role": "system", "content": "x"}]}', "gemma")
def test_a_prompt_file_gives_prompts_or_one_line(content: bytes, kind: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "prompts.jsonl"
        path.write_bytes(content)
        config = PromptsConfig(source="jsonl", path=str(path), shuffle=False)
        says = ""
        try:
            prompts = build_prompt_source(config, tokenizer(kind)).draw(3)
        except InputError as error:
            says, prompts = str(error), []
        assert all(prompt.token_ids for prompt in prompts)
        assert prompts or str(path) in says
        assert "\n" not in says


TURNS = st.lists(TEXTS.filter(str.strip), min_size=1, max_size=3)


@given(TURNS, st.sampled_from(["chatml", "gemma", "turns_not_special"]))
def test_what_is_said_adds_no_control_token(said: list[str], kind: str) -> None:
    inner, roles = tokenizer(kind), ("user", "assistant")
    policy = PolicyTokenizer(inner)
    marks = {i for i, token in inner.added_tokens_decoder.items() if token.content != "<think>"}

    def controls(contents: list[str]) -> list[int]:
        turns = [
            ChatMessage(role=_role(roles[n % 2]), content=text) for n, text in enumerate(contents)
        ]
        return [i for i in policy.prompt_ids(turns, where="line 1") if i in marks]

    try:
        found = controls(said)
    except InputError:
        return
    assert found == controls(["a"] * len(said))


def _role(name: str) -> Role:
    return "assistant" if name == "assistant" else "user"


@given(TEXTS, st.sampled_from(["chatml", "gemma", "unigram"]))
def test_a_written_response_is_shown_as_it_was_written(text: str, kind: str) -> None:
    policy = PolicyTokenizer(tokenizer(kind))
    try:
        ids = policy.response_ids(text, where="line 1")
    except InputError:
        return
    assert policy.shown_text(ids).replace("⟨U+27E8⟩", "⟨") == text


@given(
    st.lists(st.integers(0, 299), max_size=6),
    st.lists(st.integers(0, 299), max_size=6),
    st.sampled_from(["chatml", "gemma"]),
)
def test_responses_that_look_alike_decode_alike(
    one: list[int], other: list[int], kind: str
) -> None:
    inner = tokenizer(kind)
    policy = PolicyTokenizer(inner)
    special = set(inner.all_special_ids)
    if policy.shown_text(one) == policy.shown_text(other):
        assert inner.decode(one) == inner.decode(other)
        assert [i for i in one if i in special] == [i for i in other if i in special]
