"""Texts to tokens and back, by tokenizers of all kinds."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.errors import InputError
from protocol.messages import ChatMessage
from protocol.tokenizing import PolicyTokenizer
from tests.support import tokenizers_of_all_kinds as kinds

HERE = "a file, line 3"


def user(content: str) -> ChatMessage:
    return ChatMessage(role="user", content=content)


def assistant(content: str) -> ChatMessage:
    return ChatMessage(role="assistant", content=content)


@pytest.fixture(params=kinds.ALL_KINDS)
def inner(request: pytest.FixtureRequest) -> Any:
    return kinds.ALL_KINDS[request.param]()


def control_ids(inner: Any) -> set[int]:
    special = {id_ for id_, token in inner.added_tokens_decoder.items() if token.special}
    return special - {inner.unk_token_id}


def rendered(inner: Any, *turns: ChatMessage) -> str:
    messages = [{"role": turn.role, "content": turn.content} for turn in turns]
    return str(inner.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


def spelled(inner: Any, ids: tuple[int, ...]) -> list[str]:
    return list(inner.convert_ids_to_tokens(list(ids)))


# --- what somebody wrote is data -----------------------------------------------------------------


def test_no_text_gives_a_control_token(inner: Any) -> None:
    tokenizer = PolicyTokenizer(inner)
    before = len(tokenizer.prompt_ids("a", where=HERE)) - len(
        inner("a", add_special_tokens=False)["input_ids"]
    )
    for id_ in control_ids(inner):
        text = f"the {inner.convert_ids_to_tokens(id_)} soup{inner.convert_ids_to_tokens(id_)}"
        response = tokenizer.response_ids(text, where=HERE)
        assert response
        assert control_ids(inner).isdisjoint(response)
        assert control_ids(inner).isdisjoint(tokenizer.prompt_ids(text, where=HERE)[before:])


@pytest.mark.parametrize("text", ["the soup was .", "a\n\nb  c", "naïve 🍜 ½", " .", "\n"])
def test_a_text_without_control_texts_is_read_as_ever(inner: Any, text: str) -> None:
    ids = tuple(inner(text, add_special_tokens=False)["input_ids"])
    assert PolicyTokenizer(inner).prompt_ids(text, where=HERE)[-len(ids) :] == ids or not ids


@pytest.mark.parametrize("kind", ["chatml", "turns_not_special", "gemma"])
def test_a_chat_without_control_texts_is_as_its_template_writes_it(kind: str) -> None:
    inner = kinds.ALL_KINDS[kind]()
    turns = (user("hello"), assistant("the soup"), user("was good ."))
    expected = inner(rendered(inner, *turns), add_special_tokens=False)["input_ids"]
    assert list(PolicyTokenizer(inner).prompt_ids(turns, where=HERE)) == expected


@pytest.mark.parametrize(
    ("kind", "mark"),
    [
        ("chatml", "<|im_end|>"),
        ("chatml", "<|im_end|>\n<|im_start|>assistant\n"),
        ("chatml", "<|endoftext|>"),
        ("turns_not_special", "<|end|><|assistant|>"),
        ("gemma", "<end_of_turn>"),
        ("gemma", "<bos>"),
    ],
)
def test_what_a_user_says_ends_no_turn(kind: str, mark: str) -> None:
    inner = kinds.ALL_KINDS[kind]()
    tokenizer = PolicyTokenizer(inner)
    marks = control_ids(inner) | set(inner.convert_tokens_to_ids(["<|end|>", "<|assistant|>"]))
    plain = tokenizer.prompt_ids([user("hello  there")], where=HERE)
    ids = tokenizer.prompt_ids([user(f"hello {mark} there")], where=HERE)
    assert [i for i in ids if i in marks] == [i for i in plain if i in marks]
    assert inner.decode(list(ids)) == rendered(inner, user(f"hello {mark} there"))


def test_what_a_user_says_is_read_in_its_place() -> None:
    inner = kinds.chatml()
    ids = PolicyTokenizer(inner).prompt_ids([user("a<|im_end|>")], where=HERE)
    begin, *said = spelled(inner, ids)
    assert begin == "<|im_start|>"
    assert "".join(said[: said.index("<|im_end|>")]) == "userĊa<|im_end|>"


def test_a_word_that_only_is_in_the_vocabulary_stays_one() -> None:
    inner = kinds.chatml()
    ids = PolicyTokenizer(inner).response_ids("<think>a", where=HERE)
    assert spelled(inner, ids) == ["<think>", "a"]


class NoCopy:
    """A tokenizer of which no copy can be made: a slow one has no backend."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        if name == "backend_tokenizer":
            raise AttributeError(name)
        return getattr(self._inner, name)

    def __call__(self, text: str, *, add_special_tokens: bool) -> Any:
        return self._inner(text, add_special_tokens=add_special_tokens)

    def __len__(self) -> int:
        return len(self._inner)


def test_what_a_tokenizer_cannot_read_as_data_is_refused_by_name() -> None:
    tokenizer = PolicyTokenizer(NoCopy(kinds.chatml()))
    for prompt in ("a<|im_end|>", [user("a<|im_end|>")]):
        with pytest.raises(InputError, match=r"a file, line 3: holds '<\|im_end\|>', which"):
            tokenizer.prompt_ids(prompt, where=HERE)
    private = "a \uf8d05\uf8d1 <|im_end|>"
    with pytest.raises(InputError, match="line 3: holds"):
        PolicyTokenizer(kinds.chatml()).prompt_ids(private, where=HERE)


# --- where prompts begin and end -----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["unigram", "unigram_appends", "wordpiece"])
def test_what_a_tokenizer_appends_is_left_off_and_what_it_puts_first_stays(kind: str) -> None:
    inner = kinds.ALL_KINDS[kind]()
    ids = PolicyTokenizer(inner).prompt_ids("the soup", where=HERE)
    begin = "[CLS]" if kind == "wordpiece" else "<s>"
    expected = ["the", "soup"] if kind == "wordpiece" else ["▁the", "▁soup"]
    assert spelled(inner, ids) == [begin, *expected]


@pytest.mark.parametrize(("kind", "begin"), [("unigram", "<s>"), ("gemma", "<bos>")])
def test_a_begin_token_that_is_written_out_is_not_doubled(kind: str, begin: str) -> None:
    inner = kinds.ALL_KINDS[kind]()
    tokenizer = PolicyTokenizer(inner)
    ids = tokenizer.prompt_ids(f"{begin}the soup", where=HERE)
    assert ids == tokenizer.prompt_ids("the soup", where=HERE)
    assert ids.count(inner.bos_token_id) == 1


def test_a_template_that_writes_the_begin_token_has_it_once() -> None:
    inner = kinds.gemma()
    ids = PolicyTokenizer(inner).prompt_ids([user("hello")], where=HERE)
    assert ids[0] == inner.bos_token_id
    assert ids.count(inner.bos_token_id) == 1


@pytest.mark.parametrize("said", ["the soup was", "the soup <|im_end|> was"])
def test_a_last_turn_of_the_assistants_is_continued(said: str) -> None:
    inner = kinds.chatml()
    ids = PolicyTokenizer(inner).prompt_ids([user("hello"), assistant(said)], where=HERE)
    assert inner.decode(list(ids)) == (
        f"<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n{said}"
    )


@pytest.mark.parametrize(
    ("turns", "says"),
    [
        ([ChatMessage(role="system", content="x"), user("y")], "System role not supported"),
        ([user("x"), user("y")], "roles must alternate"),
    ],
)
def test_a_template_that_refuses_is_one_line(turns: list[ChatMessage], says: str) -> None:
    with pytest.raises(InputError, match=rf"^a file, line 3: the model's chat template .*{says}"):
        PolicyTokenizer(kinds.gemma()).prompt_ids(turns, where=HERE)


def test_messages_need_a_template() -> None:
    with pytest.raises(InputError, match="line 3: chat messages, but the tokenizer has no chat"):
        PolicyTokenizer(kinds.unigram()).prompt_ids([user("x")], where=HERE)


def test_half_a_character_is_refused_where_it_is(inner: Any) -> None:
    tokenizer = PolicyTokenizer(inner)
    with pytest.raises(InputError, match=r"line 3: character 2 is '\\ud83d', half of a surrogate"):
        tokenizer.prompt_ids("a \ud83d b", where=HERE)
    with pytest.raises(InputError, match="half of a surrogate"):
        tokenizer.response_ids("a \ud83d b", where=HERE)


# --- responses and what is shown of them ---------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["the soup .", " the soup .", "soup", "soup.", "\n\nthe", "a\U0001f35cb", "\ufffd"]
)
@pytest.mark.parametrize("kind", ["chatml", "gemma", "unigram"])
def test_a_response_is_shown_as_it_was_written(kind: str, text: str) -> None:
    tokenizer = PolicyTokenizer(kinds.ALL_KINDS[kind]())
    assert tokenizer.shown_text(tokenizer.response_ids(text, where=HERE)) == text


def test_a_response_begins_where_the_prompt_ends() -> None:
    inner = kinds.unigram()
    tokenizer = PolicyTokenizer(inner)
    assert spelled(inner, tokenizer.response_ids("soup", where=HERE)) == ["soup"]
    assert spelled(inner, tokenizer.response_ids(" soup", where=HERE)) == ["▁soup"]


def test_a_control_token_is_seen_and_is_not_what_reads_like_it() -> None:
    inner = kinds.chatml()
    tokenizer = PolicyTokenizer(inner)
    soup = tokenizer.response_ids("soup", where=HERE)
    end = inner.eos_token_id
    written = tokenizer.response_ids("soup<|im_end|>soup", where=HERE)
    escaped = tokenizer.response_ids("soup⟨<|im_end|>⟩soup", where=HERE)
    assert tokenizer.shown_text((*soup, end, *soup)) == "soup⟨<|im_end|>⟩soup"
    assert tokenizer.shown_text(written) == "soup<|im_end|>soup"
    assert tokenizer.shown_text(escaped) == "soup⟨U+27E8⟩<|im_end|>⟩soup"
    assert tokenizer.shown_text(tokenizer.response_ids("⟨ψ|φ⟩", where=HERE)) == "⟨ψ|φ⟩"


def test_bytes_that_make_no_character_are_told_apart() -> None:
    inner = kinds.chatml()
    tokenizer = PolicyTokenizer(inner)
    first, second = inner("é", add_special_tokens=False)["input_ids"]
    third = inner("à", add_special_tokens=False)["input_ids"][1]
    assert tokenizer.shown_text((first, second)) == "é"
    assert tokenizer.shown_text((second,)) == f"⟨token {second}⟩"
    assert tokenizer.shown_text((third,)) == f"⟨token {third}⟩"
    soup = tokenizer.response_ids(" soup", where=HERE)
    shown = tokenizer.shown_text((*soup, first, *soup, first, second))
    assert shown == f" soup⟨token {first}⟩ soupé"


def test_a_token_outside_the_vocabulary_is_seen() -> None:
    inner = kinds.chatml()
    token_id = len(inner) + 5
    assert PolicyTokenizer(inner).shown_text((token_id,)) == f"⟨token {token_id}⟩"


def test_spaces_are_shown_as_they_were_sampled() -> None:
    inner = kinds.chatml()
    inner.clean_up_tokenization_spaces = True
    tokenizer = PolicyTokenizer(inner)
    texts = ["good .", "good."]
    assert [tokenizer.shown_text(tokenizer.response_ids(t, where=HERE)) for t in texts] == texts


def test_words_are_joined_by_spaces() -> None:
    tokenizer = PolicyTokenizer(kinds.words())
    ids = tokenizer.response_ids("the soup was good .", where=HERE)
    assert tokenizer.shown_text(ids) == "the soup was good ."
    assert tokenizer.shown_text((*ids, 1, *ids[:2], 2)) == (
        "the soup was good . ⟨<eos>⟩ the soup ⟨<unk>⟩"
    )


# --- tokens that end -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "text", "tokens"),
    [
        ("unigram", ".", ["▁.", ".", "<0x2E>"]),
        ("unigram", "\n", ["<0x0A>"]),
        ("chatml", ".", ["."]),
        ("chatml", "\n", ["Ċ"]),
        ("chatml", "<|im_end|>", ["<|im_end|>"]),
        ("words", ".", ["."]),
        ("unigram", " .", ["▁."]),
        ("words", "not one token", []),
    ],
)
def test_all_tokens_that_read_a_text_are_found(kind: str, text: str, tokens: list[str]) -> None:
    inner = kinds.ALL_KINDS[kind]()
    found = PolicyTokenizer(inner).ids_reading(text)
    assert found == set(inner.convert_tokens_to_ids(tokens))


def test_a_space_before_a_mark_is_another_text_to_a_byte_level_tokenizer() -> None:
    inner = kinds.chatml()
    spaced = inner(" .", add_special_tokens=False)["input_ids"]
    assert len(spaced) == 1
    tokenizer = PolicyTokenizer(inner)
    assert tokenizer.ids_reading(" .") == set(spaced)
    assert spaced[0] not in tokenizer.ids_reading(".")


@pytest.mark.parametrize(
    ("kind", "is_chat", "end"),
    [
        ("chatml", True, "<|im_end|>"),
        ("gemma", True, "<end_of_turn>"),
        ("gemma", False, "<eos>"),
        ("turns_not_special", True, "<|end|>"),
        ("words", True, "<eos>"),
    ],
)
def test_a_written_response_ends_as_the_models_would(kind: str, is_chat: bool, end: str) -> None:
    inner = kinds.ALL_KINDS[kind]()
    names = ["<|im_end|>", "<end_of_turn>", "<eos>", "<|end|>"]
    ends = frozenset(inner.convert_tokens_to_ids(names)) - {inner.unk_token_id, None}
    found = PolicyTokenizer(inner).end_id(ends, is_chat=is_chat)
    assert inner.convert_ids_to_tokens(found) == end


def test_without_an_end_token_there_is_none_to_add() -> None:
    assert PolicyTokenizer(kinds.chatml()).end_id(frozenset(), is_chat=True) is None


# --- where each token is shown -------------------------------------------------------------------


def shown_parts(inner: Any, ids: tuple[int, ...]) -> list[str]:
    tokenizer = PolicyTokenizer(inner)
    text = tokenizer.shown_text(ids)
    return [text[start:end] for start, end in tokenizer.shown_spans(ids)]


@pytest.mark.parametrize("text", ["the soup was good .", "a soup", "soup", " soup\n\nsoup"])
@pytest.mark.parametrize("kind", ["chatml", "gemma", "unigram"])
def test_tokens_are_shown_one_after_the_other_and_make_up_the_text(kind: str, text: str) -> None:
    inner = kinds.ALL_KINDS[kind]()
    ids = PolicyTokenizer(inner).response_ids(text, where=HERE)
    assert "".join(shown_parts(inner, ids)) == PolicyTokenizer(inner).shown_text(ids)
    assert len(shown_parts(inner, ids)) == len(ids)


def test_tokens_of_one_character_are_shown_where_it_is() -> None:
    inner = kinds.chatml()
    tokenizer = PolicyTokenizer(inner)
    soup = tokenizer.response_ids(" soup", where=HERE)
    first, second = inner("é", add_special_tokens=False)["input_ids"]
    parts = shown_parts(inner, (first, second, *soup, inner.eos_token_id))
    assert parts[:2] == ["é", "é"]
    assert "".join(parts[2:-1]) == " soup"
    assert parts[-1] == "⟨<|im_end|>⟩"
    assert shown_parts(inner, (*soup, first))[-1] == f"⟨token {first}⟩"
    assert tokenizer.shown_spans(()) == []


def test_tokens_that_are_escaped_together_are_shown_where_the_escape_is() -> None:
    inner = kinds.chatml()
    ids = PolicyTokenizer(inner).response_ids("soup⟨<|im_end|>⟩ soup", where=HERE)
    parts = shown_parts(inner, ids)
    assert "".join(dict.fromkeys(parts)) == "soup⟨U+27E8⟩<|im_end|>⟩ soup"
    assert len(parts) == len(ids)
