"""The prompt streams of a run, made for the policy's own tokenizer and context."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from actors.prompts.grammar import vocabulary
from cluster.config import RunConfig, parse_config
from cluster.starting.prompts import prompt_sources
from protocol.errors import ConfigError, InputError

CONTEXT = 32


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy of 32 positions, and its tokenizer."""
    folder = tmp_path_factory.mktemp("policy")
    words = {word: index for index, word in enumerate(("<unk>", *vocabulary()))}
    inner = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>").save_pretrained(folder)
    shape = GPT2Config(n_positions=CONTEXT, vocab_size=len(words), n_embd=8, n_layer=1, n_head=1)
    GPT2LMHeadModel(shape).save_pretrained(folder)
    return folder


def config_of(max_tokens: int, max_model_len: int | None = None) -> RunConfig:
    return parse_config(
        {
            "people": ["ann"],
            "run": {"episodes": 5120},
            "prompts": {"source": "reviews"},
            "policy": {"path": "model"},
            "labels": {},
            "response": {"max_tokens": max_tokens},
            "rollouts": {"max_model_len": max_model_len} if max_model_len else {},
        },
        "test",
    )


def test_what_is_trained_on_and_what_is_asked_about_are_two_streams(policy: Path) -> None:
    train, queries = prompt_sources(config_of(max_tokens=CONTEXT - 8), policy)
    assert [len(prompt.token_ids) for prompt in train.draw(5)] == [8] * 5
    assert queries.cursor == 0
    assert [prompt.text for prompt in queries.draw(5)] != [p.text for p in train.draw(5)]


@pytest.mark.parametrize(("max_tokens", "max_model_len"), [(CONTEXT, None), (27, 24)])
def test_a_response_as_long_as_the_context_is_refused_with_both_numbers(
    policy: Path, max_tokens: int, max_model_len: int | None
) -> None:
    context = max_model_len or CONTEXT
    says = rf"max_tokens {max_tokens} leaves no room .* context of {context} tokens: lower it"
    with pytest.raises(ConfigError, match=says) as told:
        prompt_sources(config_of(max_tokens, max_model_len), policy)
    assert "\n" not in str(told.value)


def test_generated_prompts_keep_to_the_room_the_response_leaves(policy: Path) -> None:
    with pytest.raises(InputError, match="is 8 tokens long and at most 7 may be"):
        prompt_sources(config_of(max_tokens=CONTEXT - 7), policy)
