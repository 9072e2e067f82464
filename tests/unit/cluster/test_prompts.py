"""The prompt streams of a run, made for the policy's own tokenizer and context."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from actors.prompts.grammar import vocabulary
from cluster.config import RunConfig
from cluster.config_file import parse_config
from cluster.starting.policy_reading import PolicyReading
from cluster.starting.prompts import normalisation_sequences, prompt_sources
from protocol.errors import ConfigError, InputError, MissingError
from protocol.ports import PromptSource
from tests.support.reward import write_reward_versions

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
    train, queries = prompt_sources(
        config_of(max_tokens=CONTEXT - 8), PolicyReading.of_folder(policy)
    )
    drawn = train.draw(5)
    assert [len(prompt.token_ids) for prompt in drawn] == [8] * 5
    assert [prompt.text for prompt in queries.draw(5)] != [p.text for p in drawn]


@pytest.mark.parametrize(("max_tokens", "max_model_len"), [(CONTEXT, None), (27, 24)])
def test_a_response_as_long_as_the_context_is_refused_with_both_numbers(
    policy: Path, max_tokens: int, max_model_len: int | None
) -> None:
    context = max_model_len or CONTEXT
    says = rf"max_tokens {max_tokens} leaves no room .* context of {context} tokens: lower it"
    with pytest.raises(ConfigError, match=says) as told:
        prompt_sources(config_of(max_tokens, max_model_len), PolicyReading.of_folder(policy))
    assert "\n" not in str(told.value)


def test_generated_prompts_keep_to_the_room_the_response_leaves(policy: Path) -> None:
    with pytest.raises(InputError, match="is 8 tokens long and at most 7 may be"):
        prompt_sources(config_of(max_tokens=CONTEXT - 7), PolicyReading.of_folder(policy))


def changed(policy: Path, folder: Path, name: str, **entries: object) -> Path:
    """Return a copy of the policy in which one JSON file has other entries; None takes one out."""
    shutil.copytree(policy, folder)
    content = json.loads((policy / name).read_text()) | entries
    (folder / name).write_text(json.dumps({k: x for k, x in content.items() if x is not None}))
    return folder


def test_a_context_longer_than_the_models_is_refused(policy: Path) -> None:
    with pytest.raises(ConfigError, match=r"max_model_len 33 is above the context of .* 32 tokens"):
        prompt_sources(config_of(17, max_model_len=33), PolicyReading.of_folder(policy))


def test_a_linearly_scaled_context_is_as_long_as_the_engine_has_it(
    policy: Path, tmp_path: Path
) -> None:
    linear = {"rope_type": "linear", "factor": 2.0}
    scaled = changed(policy, tmp_path / "m", "config.json", rope_scaling=linear)
    prompt_sources(config_of(17, max_model_len=2 * CONTEXT), PolicyReading.of_folder(scaled))
    with pytest.raises(ConfigError, match=r"max_model_len 65 is above the context of .* 64 tokens"):
        prompt_sources(config_of(17, max_model_len=65), PolicyReading.of_folder(scaled))


def test_a_context_of_two_scales_ends_where_the_first_does(policy: Path, tmp_path: Path) -> None:
    longer = {"rope_type": "longrope", "original_max_position_embeddings": 26}
    model = changed(policy, tmp_path / "m", "config.json", rope_scaling=longer)
    prompt_sources(config_of(17, max_model_len=26), PolicyReading.of_folder(model))
    says = r"max_model_len 27 is above the context of .* 26 tokens \(in longer texts .*: lower it"
    with pytest.raises(ConfigError, match=says):
        prompt_sources(config_of(17, max_model_len=27), PolicyReading.of_folder(model))
    with pytest.raises(ConfigError, match=r"leaves no room .* context of 26 tokens"):
        prompt_sources(config_of(26), PolicyReading.of_folder(model))


def test_a_model_that_names_no_context_needs_one_set(policy: Path, tmp_path: Path) -> None:
    endless = changed(policy, tmp_path / "m", "config.json", n_positions=None, n_ctx=None)
    with pytest.raises(ConfigError, match=r"names no context .* set rollouts\.max_model_len"):
        prompt_sources(config_of(17), PolicyReading.of_folder(endless))
    train, _ = prompt_sources(config_of(17, max_model_len=32), PolicyReading.of_folder(endless))
    assert len(train.draw(1)[0].token_ids) == 8


@pytest.mark.parametrize("key", ["run.reward", "ppo.critic_path"])
def test_texts_keep_to_what_a_reward_that_is_given_takes(
    policy: Path, tmp_path: Path, key: str
) -> None:
    """Else the first longer one ended the run, in the service or in the critic's pass."""
    [version] = write_reward_versions(tmp_path / "reward", policy, 1)
    reading, bundle = PolicyReading.of_folder(policy), Path(version.path)

    def sources_of(max_tokens: int) -> tuple[PromptSource, PromptSource]:
        content = config_of(max_tokens).model_dump(mode="json", exclude_none=True)
        if key == "run.reward":
            content |= {"people": [], "run": {"mode": "fixed", "reward": version.path}}
        else:
            content["ppo"] |= {"critic": "separate", "critic_path": version.path}
        return prompt_sources(parse_config(content, "test"), reading)

    sources_of(24)
    config = bundle / "config.json"
    shape = json.loads(config.read_text())
    config.write_text(json.dumps({**shape, "n_positions": 26}))
    with capture_logs() as logs:
        train, _ = sources_of(18)
    assert len(train.draw(1)[0].token_ids) == 8
    assert [each["event"] for each in logs] == [
        f"a prompt and its response have 26 tokens at most, that of {key} {bundle}"
    ]
    with pytest.raises(InputError, match="is 8 tokens long and at most 7 may be"):
        sources_of(19)
    with pytest.raises(ConfigError, match=rf"context of 26 tokens, that of {key} .*v000001: lower"):
        sources_of(26)
    config.unlink()
    with pytest.raises(MissingError, match=rf"{key}: .*v000001/config\.json"):
        sources_of(18)


def with_a_strange_token(policy: Path, folder: Path) -> tuple[Path, int]:
    tokens = json.loads((policy / "tokenizer.json").read_text())["added_tokens"]
    beyond = GPT2Config.from_pretrained(policy).vocab_size
    strange = [*tokens, {**tokens[0], "id": beyond, "content": "<image>", "special": False}]
    return changed(policy, folder, "tokenizer.json", added_tokens=strange), beyond


def test_a_prompt_with_a_token_the_model_does_not_know_is_named_by_its_line(
    policy: Path, tmp_path: Path
) -> None:
    model, beyond = with_a_strange_token(policy, tmp_path / "m")
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": "the soup"}\n{"prompt": "the <image> was"}\n')
    config = config_of(17)
    prompts = config.prompts.model_copy(update={"source": "jsonl", "path": str(path)})
    with pytest.raises(InputError, match=rf"jsonl, line 2: token {beyond} \('<image>'\) is beyond"):
        prompt_sources(
            config.model_copy(update={"prompts": prompts}), PolicyReading.of_folder(model)
        )


def test_a_normalisation_text_with_such_a_token_too(policy: Path, tmp_path: Path) -> None:
    model, beyond = with_a_strange_token(policy, tmp_path / "m")
    path = tmp_path / "references.jsonl"
    path.write_text(
        '{"prompt": "the soup", "response": "was good"}\n'
        '{"prompt": "the soup", "response": "was <image>"}\n'
    )
    config = config_of(17)
    reward = config.reward_model.model_copy(
        update={"normalisation": "zero_at_reference", "normalisation_path": str(path)}
    )
    with pytest.raises(InputError, match=rf"jsonl, line 2: token {beyond} \('<image>'\)"):
        normalisation_sequences(
            config.model_copy(update={"reward_model": reward}), PolicyReading.of_folder(model)
        )
