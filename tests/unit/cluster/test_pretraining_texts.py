"""The text beside PPO, from each source; and what is said of a source that will not do."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from actors.prompts.corpora import corpus
from actors.prompts.grammar import review_corpus
from actors.tokenizer import load_tokenizer
from cluster.config_file import parse_config
from cluster.starting.policy_reading import PolicyReading
from cluster.starting.pretraining_texts import read_pretraining
from learners.base_model import build_language_model
from learners.supervised import blocks_of, pack
from learners.text_config import BaseModelConfig, PretrainingConfig, SupervisedConfig
from learners.word_tokenizer import build_tokenizer
from protocol.errors import ConfigError, InputError, MissingError
from tests.support.present import present

TEXTS = [f"the soup was number {number} ." for number in range(12)]


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy of 32 positions that knows the words of reviews and of the texts."""
    folder = tmp_path_factory.mktemp("policy")
    tokenizer = build_tokenizer([*review_corpus(2_000, seed=9), *TEXTS])
    training = SupervisedConfig(block_tokens=32)
    shape = BaseModelConfig(width=8, layers=1, heads=1, context_tokens=32, training=training)
    build_language_model(len(tokenizer), shape).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def config(**changes: Any) -> PretrainingConfig:
    few = {"num_texts": 9, "held_out_texts": 3, "block_tokens": 5}
    return PretrainingConfig.model_validate({**few, **changes})


def written(folder: Path, source: str) -> dict[str, str]:
    """Write the texts as a source; return the keys of a config that name it."""
    if source == "text":
        path = folder / "texts.txt"
        path.write_text("\n\n".join(TEXTS) + "\n", encoding="utf-8")
        return {"source": "text", "path": str(path)}
    name = {"jsonl": "texts.jsonl", "hub": "train.jsonl"}[source]
    lines = [json.dumps({"body": text}) + "\n" for text in ["  ", *TEXTS]]
    (folder / name).write_text("".join(lines), encoding="utf-8")
    place = {"path": str(folder / name)} if source == "jsonl" else {"dataset": str(folder)}
    return {"source": source, "field": "body", **place}


def test_reviews_are_those_of_the_base_model_and_those_it_would_learn_next(policy: Path) -> None:
    text = read_pretraining(config(seed=4), PolicyReading.of_folder(policy))
    tokenizer = build_tokenizer([*review_corpus(2_000, seed=9), *TEXTS])
    assert text.train.equal(pack(review_corpus(9, seed=4), tokenizer, 5).int())
    assert text.held_out.equal(pack(review_corpus(12, seed=4)[9:], tokenizer, 5).int())


def test_of_whole_demonstrations_what_follows_the_mark_counts() -> None:
    recipe = BaseModelConfig(texts="dialogues", context_tokens=64)
    policy = PolicyReading.of_recipe(recipe)
    told = {"whole_texts": True, "loss_after": "thanks", "block_tokens": 48}
    text = read_pretraining(config(source="dialogues", seed=4, **told), policy)
    trained, held_out = (corpus("dialogues", 12, 4)[part] for part in (slice(9), slice(9, 12)))
    for texts, found, learned in (
        (trained, text.train, text.train_counted),
        (held_out, text.held_out, text.held_out_counted),
    ):
        blocks, counted = blocks_of(texts, policy.library, SupervisedConfig.model_validate(told))
        assert found.equal(blocks.int())
        assert present(learned).equal(present(counted))


def test_a_mark_of_which_texts_are_cut_is_refused() -> None:
    with pytest.raises(ValueError, match=r"loss_after 'x' needs whole texts"):
        config(loss_after="x")


def test_a_line_of_a_text_file_ends_at_its_line_feed_alone(policy: Path, tmp_path: Path) -> None:
    """Where a page breaks, or a paragraph by Unicode, an end token was put, and a text cut off."""
    broken = [text.replace(" was ", "\x0cwas\u2028") for text in TEXTS]
    found = []
    for number, content in enumerate(("\n".join(broken), "\ufeff" + "\r\n".join(broken) + "\r\n")):
        path = tmp_path / f"{number}.txt"
        path.write_text(content, encoding="utf-8", newline="")
        wanted = config(source="text", path=str(path))
        found.append(read_pretraining(wanted, PolicyReading.of_folder(policy)))
    expected = pack(broken[:9], load_tokenizer(policy), 5).int()
    assert [text.train.tolist() for text in found] == [expected.tolist()] * 2


@pytest.mark.parametrize("source", ["text", "jsonl", "hub"])
def test_the_first_texts_are_trained_on_and_those_that_follow_are_held_out(
    policy: Path, tmp_path: Path, source: str
) -> None:
    named = written(tmp_path, source)
    tokenizer = build_tokenizer([*review_corpus(2_000, seed=9), *TEXTS])
    text = read_pretraining(config(**named, num_texts=4), PolicyReading.of_folder(policy))
    assert text.train.equal(pack(TEXTS[:4], tokenizer, 5).int())
    assert text.held_out.equal(pack(TEXTS[4:7], tokenizer, 5).int())
    every = read_pretraining(config(**named, num_texts=1_000), PolicyReading.of_folder(policy))
    assert every.train.equal(pack(TEXTS[:9], tokenizer, 5).int())
    assert every.held_out.equal(pack(TEXTS[9:], tokenizer, 5).int())


def test_a_file_that_is_not_there_is_named_with_its_key(policy: Path, tmp_path: Path) -> None:
    for source in ("text", "jsonl"):
        path = str(tmp_path / "none.txt")
        with pytest.raises(MissingError, match=r"pretraining\.path: .*none\.txt is not a file"):
            read_pretraining(config(source=source, path=path), PolicyReading.of_folder(policy))


def test_a_pipe_is_refused_since_it_is_read_twice(policy: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for source in ("text", "jsonl"):
        path = str(tmp_path / "pipe")
        with pytest.raises(InputError, match=r"pretraining\.path: .*pipe is a pipe"):
            read_pretraining(config(source=source, path=path), PolicyReading.of_folder(policy))


def test_a_dataset_that_is_not_there_is_named_with_its_key(policy: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingError, match=r"check pretraining\.dataset"):
        read_pretraining(
            config(source="hub", dataset=str(tmp_path / "empty")), PolicyReading.of_folder(policy)
        )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"held_out_texts": 12}, "holds 12 texts, .*held_out_texts 12 leave none to train on"),
        (
            {"num_texts": 1, "block_tokens": 16},
            r"pretraining\.num_texts: .* one block of 16.*lower",
        ),
        ({"held_out_texts": 1, "block_tokens": 16}, r"pretraining\.held_out_texts: .* block of 16"),
        ({"block_tokens": 33}, "block_tokens 33 is above the context of .*, 32 tokens"),
    ],
)
def test_too_little_text_and_too_long_blocks_are_refused(
    policy: Path, tmp_path: Path, changes: dict[str, int], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        read_pretraining(
            config(**written(tmp_path, "text"), **changes), PolicyReading.of_folder(policy)
        )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"body": 3}', r'line 14: "body" is of type int: give a text'),
        ('{"text": "x"}', r'line 14: no "body".*pretraining\.field'),
        ("no json", r"line 14: not JSON"),
    ],
)
def test_a_bad_line_is_named(policy: Path, tmp_path: Path, line: str, said: str) -> None:
    named = written(tmp_path, "jsonl")
    with Path(named["path"]).open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    with pytest.raises(InputError, match=said):
        read_pretraining(config(**named, num_texts=1_000), PolicyReading.of_folder(policy))


RUN: dict[str, Any] = {
    "people": ["ann"],
    "run": {"episodes": 5120},
    "policy": {"path": "model"},
    "prompts": {"source": "reviews"},
}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ppo": {"ptx": {"coefficient": 1.0}}}, r"there is no text .*\[pretraining\]"),
        ({"ppo": {"ptx": {"coefficient": -1.0}}}, r"ppo\.ptx\.coefficient: .*-1"),
        ({"pretraining": {"source": "jsonl"}}, "pretraining.path is empty: source 'jsonl'"),
        ({"pretraining": {"source": "text"}}, "pretraining.path is empty: source 'text'"),
        (
            {"pretraining": {"path": "mine.txt"}},
            'pretraining.path is given, and source "reviews" reads none',
        ),
        (
            {"pretraining": {"dataset": "a/b"}},
            'pretraining.dataset is given, and source "reviews" reads none',
        ),
        (
            {"prompts": {"source": "reviews", "path": "mine.jsonl"}},
            'prompts.path is given, and source "reviews" reads none: set prompts.source = "jsonl"',
        ),
        (
            {"prompts": {"source": "jsonl", "path": "p.jsonl", "subset": "en"}},
            'prompts.subset is given, and source "jsonl" reads none',
        ),
        ({"pretraining": {"source": "hub"}}, "pretraining.dataset is empty"),
        (
            {"policy": None, "base_model": {}, "pretraining": {"block_tokens": 65}},
            r"block_tokens 65 is over base_model\.context_tokens 64",
        ),
    ],
)
def test_a_config_that_cannot_be_followed_is_refused(changes: dict[str, Any], said: str) -> None:
    content = {key: each for key, each in {**RUN, **changes}.items() if each is not None}
    with pytest.raises(ConfigError, match=said):
        parse_config(content, "test")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"pretraining": {"source": "text", "path": "t.txt", "field": "body"}},
            'pretraining.field is given, and source "text" reads none: .* = "jsonl" or "hub"',
        ),
        (
            {"pretraining": {"source": "jsonl", "path": "p.jsonl", "split": "test"}},
            'pretraining.split is given, and source "jsonl" reads none',
        ),
        (
            {"pretraining": {"source": "jsonl", "path": "p.jsonl", "seed": 2}},
            'pretraining.seed is given, and source "jsonl" reads none',
        ),
        (
            {"prompts": {"source": "jsonl", "path": "p.jsonl", "split": "validation"}},
            'prompts.split is given, and source "jsonl" reads none',
        ),
        (
            {"prompts": {"source": "jsonl", "path": "p.jsonl", "prompt_tokens": 20}},
            'prompts.prompt_tokens is given, and source "jsonl" reads none: .* = "reviews"',
        ),
        (
            {"prompts": {"source": "jsonl", "path": "p.jsonl", "books": {"leaf_tokens": 9}}},
            'prompts.books is given, and source "jsonl" reads none',
        ),
        (
            {"prompts": {"source": "articles", "field": "text"}},
            'prompts.field is given, and source "articles" reads none',
        ),
        (
            {"prompts": {"source": "dialogues", "language_field": ""}},
            'prompts.language_field is given, and source "dialogues" reads none',
        ),
        (
            {"prompts": {"source": "books", "shuffle": False}},
            'prompts.shuffle is given, and source "books" reads none: .* = "jsonl" or "hub"',
        ),
    ],
)
def test_a_key_that_a_source_does_not_read_is_refused_as_a_run_begins(
    changes: dict[str, Any], said: str
) -> None:
    config = parse_config({**RUN, **changes}, "test")  # as of a run from before, for its report
    with pytest.raises(ConfigError, match=said):
        config.refuse_unread_keys()


def test_by_default_there_is_no_text_and_nothing_is_added() -> None:
    run = parse_config(RUN, "test")
    assert run.pretraining is None
    assert run.ppo.ptx.coefficient == 0
