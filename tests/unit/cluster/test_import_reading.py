"""What an import reads preferences with, from a model, a config, or both."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cluster.starting.import_reading import preference_reading
from protocol.ending import EndRule
from protocol.errors import ConfigError, MissingError
from protocol.model_folder import ModelFolder
from tests.support import tokenizers_of_all_kinds as kinds

CONFIG = """
people = ["ann"]
[run]
episodes = 5120
[prompts]
source = "reviews"
[response]
mode = "end_token"
[labels]
"""


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All of a chat model that an import reads: its tokenizer and the names of its end tokens."""
    folder = tmp_path / "model"
    tokenizer = kinds.gemma()
    tokenizer.save_pretrained(folder)
    ends = tokenizer.convert_tokens_to_ids(["<eos>", "<end_of_turn>"])
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
    (folder / "config.json").write_text(json.dumps({"model_type": "gemma"}))
    found = ModelFolder(
        path=folder,
        architecture="GemmaForCausalLM",
        context_length=64,
        has_two_scales=False,
        num_embeddings=len(tokenizer),
        ids_beyond={},
    )
    monkeypatch.setattr(
        "cluster.starting.import_reading.policy_folder", lambda name, *_: Path(name)
    )
    monkeypatch.setattr("cluster.starting.policy_reading.inspect_model", lambda path: found)
    return folder


def end_ids() -> frozenset[int]:
    return frozenset(kinds.gemma().convert_tokens_to_ids(["<eos>", "<end_of_turn>"]))


def test_without_a_model_nothing_is_read() -> None:
    assert preference_reading(None, None) is None


def test_a_model_alone_ends_the_turns_of_chats(model: Path) -> None:
    reading = preference_reading(str(model), None)
    assert reading is not None
    assert reading.ends.of_chats == EndRule(mode="end_token", marker_ids=end_ids())
    assert reading.ends.of_texts.marker_ids == frozenset()


def test_a_config_says_where_responses_end(model: Path, tmp_path: Path) -> None:
    config = tmp_path / "run.toml"
    config.write_text(f'{CONFIG}[policy]\npath = "{model}"\n')
    reading = preference_reading(None, config)
    assert reading is not None
    assert reading.ends.of_chats == EndRule(mode="end_token", marker_ids=end_ids())
    assert reading.ends.of_texts == reading.ends.of_chats
    assert kinds.gemma().chat_template == reading.tokenizer.chat_template

    config.write_text(config.read_text().replace('mode = "end_token"', "cut_after = 3"))
    reading = preference_reading(None, config)
    assert reading is not None
    dots = frozenset(kinds.gemma().convert_tokens_to_ids([".", "<0x2E>"]))
    assert reading.ends.of_texts == EndRule(mode="fixed", cut_after=3, marker_ids=dots)


def test_a_policy_that_is_yet_to_be_made_is_asked_for(tmp_path: Path) -> None:
    config = tmp_path / "run.toml"
    config.write_text(f"{CONFIG}[base_model]\n")
    with pytest.raises(ConfigError, match=r"run\.toml names no policy\.path.*--model"):
        preference_reading(None, config)


def test_a_policy_that_is_not_there_is_told_by_how_it_was_named(tmp_path: Path) -> None:
    config = tmp_path / "run.toml"
    config.write_text(f'{CONFIG}[policy]\npath = "{tmp_path}/none"\n')
    with pytest.raises(MissingError, match=r"^policy\.path .*/none does not exist: name a model"):
        preference_reading(None, config)
    for given in (None, config):
        with pytest.raises(MissingError, match=r"^--model .*/gone does not exist: name a model"):
            preference_reading(f"{tmp_path}/gone", given)
