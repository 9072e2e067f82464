"""Prompt sources: drawn by seed, and bad input named in one line."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import structlog
from pydantic import ValidationError
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from actors.prompts.article_prompts import ArticlePrompts
from actors.prompts.articles import article
from actors.prompts.articles import vocabulary as article_vocabulary
from actors.prompts.config import PromptsConfig
from actors.prompts.dialogue_prompts import DialoguePrompts
from actors.prompts.dialogues import dialogue
from actors.prompts.dialogues import vocabulary as dialogue_vocabulary
from actors.prompts.grammar import vocabulary
from actors.prompts.reviews import ReviewPrompts
from actors.prompts.source import FilePrompts, build_prompt_source
from learners.word_tokenizer import build_tokenizer
from protocol.errors import InputError, MissingError, ResourceError, UserError
from protocol.messages import ChatMessage
from protocol.ports import PromptSource
from tests.support import tokenizers_of_all_kinds as kinds
from tests.support.prompt_source_contract import PromptSourceContract

CHAT_TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}> {{ m['content'] }} {% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def word_tokenizer(known: tuple[str, ...], chat_template: str | None = None) -> Any:
    """A tokenizer of whole words: <unk> is 0, then `known` in order."""
    words = {word: index for index, word in enumerate(("<unk>", *known))}
    inner = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>")
    tokenizer.chat_template = chat_template
    return tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return word_tokenizer(vocabulary())


def write_lines(path: Path, *lines: object) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def jsonl_config(path: Path, **changes: Any) -> PromptsConfig:
    return PromptsConfig(source="jsonl", path=str(path), **changes)


def test_review_prompts_are_the_beginnings_of_distinct_reviews(tokenizer: Any) -> None:
    source = build_prompt_source(PromptsConfig(seed=5), tokenizer)
    drawn = source.draw(200)
    assert len({prompt.prompt_id for prompt in drawn}) == 200
    assert len({prompt.text for prompt in drawn}) > 190
    for prompt in drawn:
        assert len(prompt.token_ids) == len(prompt.text.split()) == 8
        assert tokenizer.decode(prompt.token_ids) == prompt.text


def test_the_seed_decides_the_reviews(tokenizer: Any) -> None:
    def draw(seed: int) -> list[str]:
        source = build_prompt_source(PromptsConfig(seed=seed), tokenizer)
        return [prompt.text for prompt in source.draw(10)]

    assert draw(1) == draw(1) != draw(2)


def test_review_prompts_refuse_a_tokenizer_of_other_words() -> None:
    with pytest.raises(InputError, match="does not know all words"):
        build_prompt_source(PromptsConfig(), word_tokenizer(("the", "was")))


@pytest.mark.parametrize(("limit", "room"), [(None, 7), (7, 40)])
def test_review_prompts_keep_to_the_room_there_is(
    tokenizer: Any, limit: int | None, room: int
) -> None:
    config = PromptsConfig(max_tokens=limit)
    with pytest.raises(InputError, match=r"is 8 tokens long and at most 7 may be: lower") as caught:
        build_prompt_source(config, tokenizer, room_tokens=room)
    assert "\n" not in str(caught.value)
    source = build_prompt_source(PromptsConfig(), tokenizer, room_tokens=8)
    assert [len(prompt.token_ids) for prompt in source.draw(3)] == [8, 8, 8]


class TestReviewPrompts(PromptSourceContract, of=ReviewPrompts):
    @pytest.fixture(autouse=True)
    def _given(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def source(self) -> PromptSource:
        return build_prompt_source(PromptsConfig(seed=9), self._tokenizer)


class TestArticlePrompts(PromptSourceContract, of=ArticlePrompts):
    def source(self) -> PromptSource:
        config = PromptsConfig(source="articles", seed=9)
        return build_prompt_source(config, word_tokenizer(article_vocabulary()))


class TestDialoguePrompts(PromptSourceContract, of=DialoguePrompts):
    def source(self) -> PromptSource:
        config = PromptsConfig(source="dialogues", seed=9)
        return build_prompt_source(config, build_tokenizer(dialogue_vocabulary(), takes_chats=True))


class TestFilePrompts(PromptSourceContract, of=FilePrompts):
    @pytest.fixture(autouse=True)
    def _given(self, tokenizer: Any, tmp_path: Path) -> None:
        lines = [{"prompt": f"the soup {number}"} for number in range(7)]
        self._config = jsonl_config(write_lines(tmp_path / "p.jsonl", *lines), seed=9)
        self._tokenizer = tokenizer

    def source(self) -> PromptSource:
        return build_prompt_source(self._config, self._tokenizer)


def test_an_article_s_prompt_is_all_of_it_and_the_suffix() -> None:
    tokenizer = word_tokenizer(article_vocabulary())
    drawn = build_prompt_source(PromptsConfig(source="articles", seed=5), tokenizer).draw(50)
    assert len({prompt.prompt_id for prompt in drawn}) == 50
    assert drawn[7].text == article(random.Random("5-7")).prompt
    for prompt in drawn:
        assert prompt.text.endswith(" . TL;DR:")
        assert tokenizer.decode(prompt.token_ids) == prompt.text


def test_articles_refuse_a_tokenizer_of_other_words_and_too_little_room(tokenizer: Any) -> None:
    config = PromptsConfig(source="articles")
    with pytest.raises(InputError, match="train it on generated articles"):
        build_prompt_source(config, tokenizer)
    known = word_tokenizer(article_vocabulary())
    with pytest.raises(InputError, match=r"up to 55 tokens long and at most 54 may be: lower"):
        build_prompt_source(config, known, room_tokens=54)
    assert build_prompt_source(config, known, room_tokens=55).draw(3)


def test_a_dialogue_s_prompt_is_its_turns_as_a_chat() -> None:
    tokenizer = build_tokenizer(dialogue_vocabulary(), takes_chats=True)
    drawn = build_prompt_source(PromptsConfig(source="dialogues", seed=5), tokenizer).draw(50)
    assert len({prompt.prompt_id for prompt in drawn}) == 50
    assert drawn[7].messages == dialogue(random.Random("5-7")).turns
    for prompt in drawn:
        assert prompt.text == ""
        assert tokenizer.decode(prompt.token_ids).endswith(" . assistant:")


def test_dialogues_refuse_a_tokenizer_without_chats_or_their_words_and_too_little_room() -> None:
    config = PromptsConfig(source="dialogues")
    with pytest.raises(InputError, match="no chat template"):
        build_prompt_source(config, word_tokenizer(dialogue_vocabulary()))
    with pytest.raises(InputError, match="train it on generated dialogues"):
        build_prompt_source(config, build_tokenizer(("a table",), takes_chats=True))
    known = build_tokenizer(dialogue_vocabulary(), takes_chats=True)
    with pytest.raises(InputError, match=r"up to 31 tokens long and at most 30 may be: lower"):
        build_prompt_source(config, known, room_tokens=30)
    assert build_prompt_source(config, known, room_tokens=31).draw(3)


def test_a_file_is_gone_through_whole_and_anew_each_epoch(tokenizer: Any, tmp_path: Path) -> None:
    texts = [f"the soup {number}" for number in range(20)]
    path = write_lines(tmp_path / "p.jsonl", *({"prompt": text} for text in texts))
    drawn = [p.text for p in build_prompt_source(jsonl_config(path), tokenizer).draw(40)]
    assert sorted(drawn[:20]) == sorted(drawn[20:]) == sorted(texts)
    assert drawn[:20] != drawn[20:]
    assert drawn[:20] != texts
    plain = build_prompt_source(jsonl_config(path, shuffle=False), tokenizer).draw(40)
    assert [prompt.text for prompt in plain] == texts + texts


def test_text_prompts_keep_their_line_in_their_id(tokenizer: Any, tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('\n{"question": "the soup was"}\n')
    config = jsonl_config(path, field="question")
    (prompt,) = build_prompt_source(config, tokenizer).draw(1)
    assert prompt.prompt_id == "mine-000002"
    assert prompt.text == "the soup was"
    assert tokenizer.decode(prompt.token_ids) == "the soup was"


def test_chat_messages_go_through_the_chat_template(tmp_path: Path) -> None:
    tokenizer = word_tokenizer(("<user>", "<assistant>", "hello", "there"), CHAT_TEMPLATE)
    messages = [{"role": "user", "content": "hello there"}]
    path = write_lines(tmp_path / "chat.jsonl", {"prompt": messages})
    (prompt,) = build_prompt_source(jsonl_config(path), tokenizer).draw(1)
    assert (prompt.text, prompt.messages) == (
        "",
        (ChatMessage(role="user", content="hello there"),),
    )
    assert prompt.token_ids == (1, 3, 4, 2)


@pytest.mark.parametrize(
    ("content", "error", "says"),
    [
        (None, MissingError, r"p\.jsonl: no such prompt file: check prompts\.path"),
        (b"", InputError, r"p\.jsonl: empty"),
        (b"\n\n", InputError, r"p\.jsonl: empty"),
        (b"\xff\xfe\x00", InputError, r"p\.jsonl, line 1: not UTF-8"),
        (b'{"prompt": "x"}\n\xff\n', InputError, r"p\.jsonl, line 2: not UTF-8"),
        (b"[" * 100_000, InputError, r"p\.jsonl, line 1: not JSON"),
        (b'{"prompt": %s}' % (b"9" * 5_000), InputError, r"p\.jsonl, line 1: not JSON"),
        (
            b'{"prompt": "a \\ud800 b"}\n',
            InputError,
            r"line 1: \"prompt\": character 2 is '\\ud800', half of a surrogate pair",
        ),
        (b'{"prompt": "the soup"}\nhello\n', InputError, r"p\.jsonl, line 2: not JSON"),
        (b'["the soup"]\n', InputError, r'p\.jsonl, line 1: no "prompt"'),
        (b'{"text": "the soup"}\n', InputError, r'p\.jsonl, line 1: no "prompt"'),
        (b'{"prompt": 3}\n', InputError, r'line 1: "prompt" is of type int'),
        (b'{"prompt": null}\n', InputError, r'line 1: "prompt" is of type NoneType'),
        (b'{"prompt": "  "}\n', InputError, r'line 1: "prompt" is empty'),
        (b'{"prompt": [{"role": "me", "content": "x"}]}\n', InputError, r"message 0: each is"),
        (b'{"prompt": [{"role": "user"}]}\n', InputError, r"message 0: each is"),
        (
            b'{"prompt": [{"role": "user", "content": "x"}]}\n',
            InputError,
            r'line 1: "prompt": chat messages, but the tokenizer has no chat template',
        ),
        (
            b'{"prompt": "the soup was not very good ."}\n',
            InputError,
            r"line 1: the prompt is 7 tokens long and at most 5 may be",
        ),
    ],
)
def test_bad_files_are_named_with_line_and_mend(
    tokenizer: Any, tmp_path: Path, content: bytes | None, error: type[UserError], says: str
) -> None:
    path = tmp_path / "p.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error, match=says) as caught:
        build_prompt_source(jsonl_config(path, max_tokens=6), tokenizer, room_tokens=5)
    assert "\n" not in str(caught.value)


def test_a_byte_order_mark_is_no_part_of_the_first_line(tokenizer: Any, tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"prompt": "the soup was"}\n')
    assert build_prompt_source(jsonl_config(path), tokenizer).draw(1)[0].text == "the soup was"


def test_a_file_that_cannot_be_read_is_one_line(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_lines(tmp_path / "p.jsonl", {"prompt": "the soup was"})

    def refuse(self: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ResourceError, match=r"p\.jsonl may not be read .*\(Permission denied\)"):
        build_prompt_source(jsonl_config(path), tokenizer)


def test_the_source_must_be_named() -> None:
    with pytest.raises(ValidationError, match=r"prompts\.path is empty"):
        PromptsConfig(source="jsonl")
    with pytest.raises(ValidationError, match=r"prompts\.dataset is empty"):
        PromptsConfig(source="hub")


def test_a_reseeded_stream_is_that_of_its_seed(tokenizer: Any, tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text("\n".join(json.dumps({"prompt": f"prompt {n}"}) for n in range(9)))

    def built(seed: int) -> list[str]:
        config = PromptsConfig(source="jsonl", path=str(path), seed=seed)
        return [prompt.prompt_id for prompt in build_prompt_source(config, tokenizer).draw(20)]

    config = PromptsConfig(source="jsonl", path=str(path), seed=1)
    source = build_prompt_source(config, tokenizer)
    source.draw(5)
    assert [prompt.prompt_id for prompt in source.reseeded(7).draw(20)] == built(7)


def test_prompts_that_a_template_seems_to_have_written_are_warned_of(tmp_path: Path) -> None:
    lines = [{"prompt": text} for text in ("hello", "<bos>hello", "<bos><start_of_turn>user\nhi")]
    path = write_lines(tmp_path / "p.jsonl", *lines)
    with structlog.testing.capture_logs() as logs:
        source = build_prompt_source(jsonl_config(path, shuffle=False), kinds.gemma())
    assert [(log["num_prompts"], log["first"]) for log in logs] == [(1, "p-000003")]
    bos = kinds.gemma().bos_token_id
    assert [prompt.token_ids.count(bos) for prompt in source.draw(3)] == [1, 1, 1]


# --- the language of prompts -------------------------------------------------------------------


def test_a_line_may_say_the_language_of_its_prompt(tokenizer: Any, tmp_path: Path) -> None:
    lines = [
        {"prompt": "the soup", "language": "de-AT"},
        {"prompt": "the soup", "language": None},
        {"prompt": "the soup", "lang": "ar"},
    ]
    path = write_lines(tmp_path / "p.jsonl", *lines)
    for field, languages in (
        (None, ["de-AT", "", ""]),
        ("lang", ["", "", "ar"]),
        ("", ["", "", ""]),
    ):
        config = jsonl_config(path, shuffle=False, language_field=field)
        prompts = build_prompt_source(config, tokenizer).draw(3)
        assert [prompt.language for prompt in prompts] == languages


@pytest.mark.parametrize(
    ("language", "why"),
    [
        ("python", "'python' is no language: want a BCP 47"),
        ("en_US", "'en_US' is no language"),
        (3, "is no text"),
    ],
)
def test_a_line_whose_language_is_none_is_named(
    tokenizer: Any, tmp_path: Path, language: object, why: str
) -> None:
    path = write_lines(
        tmp_path / "p.jsonl", {"prompt": "the"}, {"prompt": "the", "language": language}
    )
    with pytest.raises(InputError, match=rf'p.jsonl, line 2: "language": {why}') as caught:
        build_prompt_source(jsonl_config(path), tokenizer)
    assert "set prompts.language_field to the key that is" in str(caught.value)


def test_generated_texts_are_in_english_and_other_prompts_in_what_the_config_says() -> None:
    assert PromptsConfig().shown_language == "en"
    assert PromptsConfig(source="articles").shown_language == "en"
    assert PromptsConfig(source="dialogues").shown_language == "en"
    assert PromptsConfig(source="jsonl", path="p.jsonl").shown_language == ""
    assert PromptsConfig(source="jsonl", path="p.jsonl", language="de").shown_language == "de"
