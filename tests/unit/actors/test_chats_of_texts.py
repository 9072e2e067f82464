"""Plain texts taken for chats, system turns, and prompts that are left out for their length."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from pydantic import ValidationError

from actors.prompts.config import PromptsConfig
from actors.prompts.grammar import vocabulary
from actors.prompts.hub import dataset_rows
from actors.prompts.source import build_prompt_source
from protocol.errors import ConfigError, InputError, MissingError
from protocol.messages import ChatMessage
from tests.unit.actors.test_prompt_sources import (
    CHAT_TEMPLATE,
    jsonl_config,
    word_tokenizer,
    write_lines,
)

SYSTEM = ChatMessage(role="system", content="be kind")
SOUP = ChatMessage(role="user", content="the soup was")


@pytest.fixture(scope="module")
def chats() -> Any:
    marks = ("<system>", "<user>", "<assistant>", "be", "kind")
    return word_tokenizer((*vocabulary(), *marks), CHAT_TEMPLATE)


@pytest.fixture(scope="module")
def texts() -> Any:
    return word_tokenizer(vocabulary())


def ids(tokenizer: Any, text: str) -> tuple[int, ...]:
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


def test_a_text_is_what_a_user_says(chats: Any, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "p.jsonl", {"prompt": "the soup was"})
    [prompt] = build_prompt_source(jsonl_config(path, as_chat=True), chats).draw(1)
    assert (prompt.text, prompt.messages) == ("", (SOUP,))
    assert prompt.token_ids == ids(chats, "<user> the soup was <assistant>")
    [plain] = build_prompt_source(jsonl_config(path), chats).draw(1)
    assert (plain.text, plain.messages) == ("the soup was", ())


def test_a_system_turn_goes_before_chats_that_bring_none(chats: Any, tmp_path: Path) -> None:
    own = {"role": "system", "content": "very good"}
    said = {"role": "user", "content": SOUP.content}
    path = write_lines(
        tmp_path / "p.jsonl", {"prompt": [said]}, {"prompt": [own, said]}, {"prompt": SOUP.content}
    )
    config = jsonl_config(path, as_chat=True, system=SYSTEM.content, shuffle=False)
    drawn = build_prompt_source(config, chats).draw(3)
    assert drawn[0].messages == drawn[2].messages == (SYSTEM, SOUP)
    assert drawn[1].messages[0].content == "very good"
    assert len(drawn[1].messages) == 2
    assert drawn[0].token_ids == ids(chats, "<system> be kind <user> the soup was <assistant>")


def test_a_system_turn_has_no_place_before_plain_text(chats: Any, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "p.jsonl", {"prompt": "the soup was"})
    with pytest.raises(InputError, match=r"line 1: .* is plain text.*set prompts\.as_chat = true"):
        build_prompt_source(jsonl_config(path, system="be kind"), chats)


@pytest.mark.parametrize("key", [{"as_chat": True}, {"system": "be kind"}])
def test_a_model_without_a_chat_template_has_no_chats(
    texts: Any, tmp_path: Path, key: dict[str, Any]
) -> None:
    path = write_lines(tmp_path / "p.jsonl", {"prompt": "the soup was"})
    with pytest.raises(ConfigError, match=rf"prompts\.{next(iter(key))} needs a chat template"):
        build_prompt_source(jsonl_config(path, **key), texts)


@pytest.mark.parametrize("content", ["", "   "])
def test_an_empty_text_is_no_chat(chats: Any, tmp_path: Path, content: str) -> None:
    path = write_lines(tmp_path / "p.jsonl", {"prompt": content})
    with pytest.raises(InputError, match=r"line 1: .* is empty"):
        build_prompt_source(jsonl_config(path, as_chat=True), chats)


def test_an_empty_chat_is_empty_with_a_system_turn_too(chats: Any, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "p.jsonl", {"prompt": []})
    with pytest.raises(InputError, match=r"line 1: .* is empty"):
        build_prompt_source(jsonl_config(path, system="be kind"), chats)


@pytest.mark.parametrize(
    "key", [{"as_chat": True}, {"system": "x"}, {"leave_out_long": True}, {"revision": "v1"}]
)
def test_generated_prompts_read_none_of_these(key: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=rf"prompts\.{next(iter(key))} is given"):
        PromptsConfig.model_validate(key)


def test_long_rows_are_left_out_and_counted(texts: Any, tmp_path: Path) -> None:
    long = "the soup was not very good ."
    path = write_lines(tmp_path / "p.jsonl", {"prompt": long}, {"prompt": "the soup"})
    with pytest.raises(InputError, match=r"7 tokens long.*set prompts\.leave_out_long = true"):
        build_prompt_source(jsonl_config(path), texts, room_tokens=5)
    config = jsonl_config(path, leave_out_long=True)
    with structlog.testing.capture_logs() as said:
        source = build_prompt_source(config, texts, room_tokens=5)
    assert {prompt.text for prompt in source.draw(4)} == {"the soup"}
    [line] = said
    assert line["event"] == "prompts too long are left out"
    assert (line["num_left_out"], line["num_kept"], line["longest"]) == (1, 1, 5)
    with structlog.testing.capture_logs() as said:
        assert len({p.prompt_id for p in build_prompt_source(config, texts).draw(2)}) == 2
    assert said == []


def test_rows_that_are_all_too_long_leave_nothing(texts: Any, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "p.jsonl", {"prompt": "the soup"}, {"prompt": "the bread"})
    with pytest.raises(InputError, match=r"all 2 prompts are longer than the 1 tokens"):
        build_prompt_source(jsonl_config(path, leave_out_long=True), texts, room_tokens=1)


def test_a_folder_of_data_has_no_revision(tmp_path: Path) -> None:
    config = PromptsConfig(source="hub", dataset=str(tmp_path), revision="v1")
    with pytest.raises(InputError, match=r"prompts\.revision 'v1' is of a dataset of the hub"):
        list(dataset_rows(config, "prompts"))


def test_a_revision_is_what_the_library_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load_dataset(*args: object, **options: object) -> list[dict[str, str]]:
        asked.append((args, options))
        return [{"prompt": "the soup was"}]

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    config = PromptsConfig(source="hub", dataset="some/set", revision="v1")
    assert list(dataset_rows(config, "prompts")) == [{"prompt": "the soup was"}]
    assert asked == [(("some/set", None), {"split": "train", "revision": "v1"})]


@pytest.mark.parametrize(("cached", "is_taken"), [("a", True), ("b", False)])
def test_another_commit_in_the_cache_is_not_taken_for_the_one_asked_for(
    monkeypatch: pytest.MonkeyPatch, cached: str, is_taken: bool
) -> None:
    """With the hub out of reach the library gives what it has, whatever revision was asked for."""
    name = f"hf://datasets/some/set@{cached * 40}/data/train.parquet"

    class Found(list[dict[str, str]]):
        info = SimpleNamespace(download_checksums={name: {}})

    monkeypatch.setattr("datasets.load_dataset", lambda *_, **__: Found([{"prompt": "x"}]))
    config = PromptsConfig(source="hub", dataset="some/set", revision="a" * 40)
    if is_taken:
        assert list(dataset_rows(config, "prompts")) == [{"prompt": "x"}]
        return
    with pytest.raises(MissingError, match=r"some/set at revision a{40}: .*the cache has b{40}"):
        list(dataset_rows(config, "prompts"))
