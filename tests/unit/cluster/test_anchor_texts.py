"""Anchor pairs: from a file, and from the generator of our own reviews."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from actors.prompts.grammar import vocabulary
from actors.tokenizer import load_tokenizer
from cluster.config import RunConfig
from cluster.config_file import parse_config
from cluster.starting.anchor_texts import LEAST_GAP, read_anchor_pairs
from cluster.starting.policy_reading import PolicyReading
from cluster.starting.prompts import anchor_pairs
from cluster.starting.written_responses import ResponseReader
from label_queue.simulated.gold.reviews import response_gold
from protocol.ending import EndRule
from protocol.errors import InputError, MissingError
from protocol.tokenizing import PolicyTokenizer

LINE = {"prompt": "the soup was", "better": "fresh", "worse": "stale ."}
WHOLE = EndRule(mode="fixed", marker_ids=frozenset())


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that knows the grammar's words."""
    folder = tmp_path_factory.mktemp("policy")
    words = {word: index for index, word in enumerate(("<unk>", *vocabulary()))}
    inner = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>", eos_token="<unk>")
    made.save_pretrained(folder)
    shape = GPT2Config(n_positions=64, vocab_size=len(words), n_embd=8, n_layer=1, n_head=1)
    GPT2LMHeadModel(shape).save_pretrained(folder)
    return folder


@pytest.fixture
def reader(policy: Path) -> PolicyTokenizer:
    return PolicyTokenizer(load_tokenizer(policy))


def config_of(
    *, people: bool = False, path: str = "", is_on: bool = True, source: str = "reviews"
) -> RunConfig:
    return parse_config(
        {
            "people": ["ann"] if people else [],
            "labelers": [{"name": "robot"}],
            "run": {"episodes": 5120},
            "prompts": {"source": source, "path": "prompts.jsonl"}
            if source == "jsonl"
            else {"source": source},
            "policy": {"path": "model"},
            "labels": {},
            "guards": {"anchor_accuracy": {"num_pairs": 24, "path": path, "is_on": is_on}},
        },
        "test",
    )


def write(folder: Path, *lines: object) -> Path:
    path = folder / "pairs.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines))
    return path


def test_a_line_becomes_a_pair_as_the_reward_model_reads_it(
    tmp_path: Path, reader: PolicyTokenizer
) -> None:
    [pair] = read_anchor_pairs(write(tmp_path, LINE), ResponseReader(reader, WHOLE, 64))
    assert (pair.prompt, pair.better, pair.worse) == ("the soup was", "fresh", "stale .")
    assert reader.shown_text(pair.better_tokens) == "the soup was fresh"
    assert reader.shown_text(pair.worse_tokens) == "the soup was stale ."


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"better": ""}, 'line 2: no "better"'),
        ({"worse": 3}, 'line 2: no "worse"'),
        ({"worse": "fresh"}, 'line 2: "better" and "worse" are the same'),
        ({"better": "fresh " * 9}, r'prompt and "better" are 12 tokens long .* context is 8'),
    ],
)
def test_a_bad_line_is_named(
    tmp_path: Path, reader: PolicyTokenizer, change: dict[str, object], problem: str
) -> None:
    path = write(tmp_path, LINE, {**LINE, **change})
    with pytest.raises(InputError, match=problem):
        read_anchor_pairs(path, ResponseReader(reader, WHOLE, 8))


def test_a_file_that_is_not_there_or_has_no_pair_is_named_by_its_key(
    tmp_path: Path, reader: PolicyTokenizer
) -> None:
    with pytest.raises(MissingError, match=r"guards\.anchor_accuracy\.path"):
        read_anchor_pairs(tmp_path / "none.jsonl", ResponseReader(reader, WHOLE, 64))
    with pytest.raises(InputError):
        read_anchor_pairs(write(tmp_path), ResponseReader(reader, WHOLE, 64))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match=r"guards\.anchor_accuracy\.path: .*pipe is a pipe"):
        read_anchor_pairs(tmp_path / "pipe", ResponseReader(reader, WHOLE, 64))


def test_the_generator_s_pairs_are_ordered_far_apart_by_its_hidden_score(policy: Path) -> None:
    pairs = anchor_pairs(config_of(), PolicyReading.of_folder(policy))
    assert 18 <= len(pairs) <= 24
    for pair in pairs:
        gap = response_gold(pair.prompt, pair.better) - response_gold(pair.prompt, pair.worse)
        assert gap >= LEAST_GAP
        assert max(len(pair.better_tokens), len(pair.worse_tokens)) <= 8 + 24
    assert anchor_pairs(config_of(), PolicyReading.of_folder(policy)) == pairs
    assert len({pair.prompt for pair in pairs}) > 12


@pytest.mark.parametrize(
    "config",
    [config_of(people=True), config_of(is_on=False), config_of(source="jsonl")],
    ids=["people", "off", "jsonl"],
)
def test_where_others_may_want_something_else_there_are_none(
    policy: Path, config: RunConfig
) -> None:
    assert anchor_pairs(config, PolicyReading.of_folder(policy)) == ()


def test_a_file_goes_before_the_generator(tmp_path: Path, policy: Path) -> None:
    path = write(tmp_path, LINE)
    [pair] = anchor_pairs(config_of(people=True, path=str(path)), PolicyReading.of_folder(policy))
    assert pair.better == "fresh"
