"""What is checked before anything starts."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from structlog.testing import capture_logs

from cluster.config import RunConfig
from cluster.config_file import parse_config
from cluster.run_folder import RunFolder
from cluster.starting.given_reward import check_critic
from cluster.starting.ports import free_port
from cluster.starting.preflight import (
    check_before_start,
    check_label_files,
    check_models,
    check_store,
)
from label_queue.config import LabelsConfig
from label_queue.quality_config import GoldConfig, QualityConfig
from protocol.errors import ConfigError, InputError, MissingError, ResourceError, UserError
from reward_service.bundle_manifest import MANIFEST_FILE
from tests.support.reward import write_reward_versions
from tests.support.tiny_model import save_tiny_model

HOST = "127.0.0.1"


def test_a_port_in_use_is_named_with_the_mend() -> None:
    with socket.create_server((HOST, 0)) as busy:
        port = busy.getsockname()[1]
        with pytest.raises(ResourceError) as told:
            free_port(HOST, port)
    assert str(told.value).startswith(f"port {port} on {HOST} is in use by process {os.getpid()} (")
    assert str(told.value).endswith("): set cluster.http_port to another, or to 0 for a free one")


def test_a_free_port_is_taken_as_it_is() -> None:
    port = free_port(HOST, 0)
    assert port > 0
    assert free_port(HOST, port) == port


def test_label_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    check_label_files(LabelsConfig())
    missing = tmp_path / "none.md"
    with pytest.raises(MissingError, match=r"labels\.guidelines: .*none\.md"):
        check_label_files(LabelsConfig(guidelines=missing))
    gold = QualityConfig(gold=GoldConfig(path=missing))
    with pytest.raises(MissingError, match=r"labels\.quality\.gold\.path"):
        check_label_files(LabelsConfig(quality=gold))


def policy_config(folder: Path, tmp_path: Path) -> RunConfig:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"prompt": "the soup was"}\n')
    return parse_config(
        {
            "people": ["ann"],
            "prompts": {"source": "jsonl", "path": str(prompts)},
            "run": {"episodes": 5120},
            "policy": {"path": str(folder)},
            "labels": {},
            "rollouts": {"kv_cache_gib": 0.001},
            "cluster": {"http_port": 0},
        },
        "test",
    )


def lose_a_layer(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights.pop("transformer.h.1.ln_1.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def rename_type(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"gpt2"', '"gpt9"'))


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lose_a_layer, r"lacks weights .*h\.1\.ln_1\.weight"),
        (truncate, r"model\.safetensors: the file is cut short"),
        (rename_type, "cannot load it as a causal language model .*gpt9"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "describes no tokenizer"),
    ],
)
def test_a_model_that_is_not_whole_is_told_before_anything_starts(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Path], object],
    complaint: str,
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    folder = save_tiny_model(tmp_path / "model")
    assert (
        check_before_start(policy_config(folder, tmp_path), tmp_path / "run", tmp_path) is not None
    )
    spoil(folder)
    with pytest.raises(InputError, match=complaint) as told:
        check_before_start(policy_config(folder, tmp_path), tmp_path / "run", tmp_path)
    assert "\n" not in str(told.value)


def recipe_config(tmp_path: Path, **changes: dict[str, object]) -> RunConfig:
    """A run whose base model is yet to be made."""
    content: dict[str, object] = {
        "people": ["ann"],
        "prompts": {"source": "reviews"},
        "base_model": {},
        "run": {"episodes": 5120},
        "response": {"mode": "fixed", "max_tokens": 24, "cut_token": "."},
        "rollouts": {"kv_cache_gib": 0.001},
        "cluster": {"http_port": 0},
    }
    return parse_config({**content, **changes}, "test")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"prompts": {"source": "jsonl", "path": "none.jsonl"}}, "none.jsonl.*prompts.path"),
        ({"prompts": {"source": "articles"}}, "generated articles"),
        ({"prompts": {"source": "jsonl", "path": "bad.jsonl"}}, "bad.jsonl, line 2: not JSON"),
        (
            {
                "reward_model": {
                    "normalisation": "zero_at_reference",
                    "normalisation_path": "none.jsonl",
                }
            },
            "reward_model.normalisation_path",
        ),
        ({"guards": {"anchor_accuracy": {"path": "none.jsonl"}}}, "guards.anchor_accuracy.path"),
        ({"pretraining": {"source": "text", "path": "none.txt"}}, "pretraining.path: none.txt"),
        ({"ppo": {"critic": "separate", "critic_path": "none"}}, "ppo.critic_path: none is no"),
        ({"response": {"mode": "fixed", "cut_token": "of the"}}, "response.cut_token"),
        (
            {"response": {"mode": "end_token", "end_tokens": ["of the"]}},
            "response.end_tokens",
        ),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_the_policy_is_to_read_is_read_before_it_is_made(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, dict[str, object]],
    complaint: str,
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.jsonl").write_text('{"prompt": "the soup was"}\n{\n')
    with pytest.raises(UserError, match=complaint):
        check_before_start(recipe_config(tmp_path, **changes), tmp_path / "run", tmp_path)


def test_a_base_model_s_run_in_which_nothing_is_wrong_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert check_before_start(recipe_config(tmp_path), tmp_path / "run", tmp_path) is None


@pytest.mark.parametrize(
    ("ends", "complaint"),
    [
        (
            {"mode": "fixed", "cut_token": "of the"},
            "'of the' is not one token .* another response.cut_token",
        ),
        ({"mode": "end_token", "end_tokens": ["of the"]}, "another response.end_tokens"),
    ],
)
def test_what_ends_responses_must_be_a_token_of_the_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: dict[str, object], complaint: str
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    given = policy_config(save_tiny_model(tmp_path / "model"), tmp_path)
    content = given.model_dump(mode="json", exclude_none=True)
    content["response"] = {"max_tokens": 8, "cut_after": 4, **ends}
    with pytest.raises(ConfigError, match=complaint):
        check_before_start(parse_config(content, "test"), tmp_path / "run", tmp_path)


def test_a_critic_starts_from_a_reward_of_the_policy_s_tokens(tmp_path: Path) -> None:
    policy = save_tiny_model(tmp_path / "model")
    [version] = write_reward_versions(tmp_path / "reward", policy, 1)
    bundle = Path(version.path)
    check_critic(bundle, policy)
    check_critic(bundle, None)
    manifest = bundle / MANIFEST_FILE
    said = manifest.read_text()
    for key, stands, other, told in (
        ("pooling", '"last"', '"mean"', "pooling = 'mean'"),
        ("embeddings", "false", "true", "embeddings = true"),
    ):
        assert f'"{key}":{stands}' in said.replace(" ", "")
        manifest.write_text(re.sub(f'("{key}": ?){stands}', rf"\1{other}", said))
        with pytest.raises(InputError, match=f"{told}.*, which no value of one token can start"):
            check_critic(bundle, None)
    manifest.write_text(said.replace('"num_heads"', '"layers": 1, "num_heads"'))
    with pytest.raises(InputError, match="layers = 1, which no value of one token can start"):
        check_critic(bundle, None)
    manifest.write_text(said)
    config = json.loads((bundle / "config.json").read_text())
    (bundle / "config.json").write_text(json.dumps({**config, "vocab_size": 7}))
    with pytest.raises(InputError, match=r"ppo\.critic_path: .* fitted on a model of 7 tokens"):
        check_critic(bundle, policy)


def test_tokens_beyond_the_embeddings_are_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    folder = save_tiny_model(tmp_path / "model")
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["added_tokens"].append({**content["added_tokens"][0], "id": 54, "content": "<image>"})
    path.write_text(json.dumps(content))
    with capture_logs() as logs:
        check_before_start(policy_config(folder, tmp_path), tmp_path / "run", tmp_path)
    (told,) = [each for each in logs if each["event"] == "tokens_beyond_the_embeddings"]
    assert (told["first_id"], told["first_token"], told["num_embeddings"]) == (54, "<image>", 54)


@pytest.mark.parametrize("is_on_a_cluster", [False, True])
def test_a_file_that_is_no_ledger_is_told_on_a_cluster_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_on_a_cluster: bool
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    run = tmp_path / "run"
    run.mkdir()
    RunFolder(run).ledger.write_bytes(b"no ledger, whatever it is called" * 100)
    with socket.create_server(("127.0.0.1", 0)) as ray:
        if is_on_a_cluster:
            monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{ray.getsockname()[1]}")
        with pytest.raises(UserError, match=r"ledger\.sqlite"):
            check_before_start(recipe_config(tmp_path), run, tmp_path)


def test_connectors_that_write_tasks_to_one_file_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    connectors = [
        {"kind": "jsonl", "name": name, "path": f"/{name}.jsonl", "tasks_path": "/tasks.jsonl"}
        for name in ("north", "south")
    ]
    # It is read all the same: of a run that is over there is still a report to be had.
    config = recipe_config(tmp_path, labels={"connectors": connectors})
    with pytest.raises(ConfigError, match=r"tasks_path of 'north' and tasks_path of 'south'"):
        check_before_start(config, tmp_path / "run", tmp_path)


@pytest.mark.parametrize("section", ["policy", "reward_model"])
def test_adapters_that_do_not_fit_are_named_before_anybody_labels(
    tmp_path: Path, section: str
) -> None:
    given = policy_config(save_tiny_model(tmp_path / "model"), tmp_path)
    check_models(given)
    content = given.model_dump(mode="json", exclude_none=True)
    content[section]["lora"] = {"target_modules": ["c_attn"]}
    check_models(parse_config(content, "test"))
    content[section]["lora"] = {"target_modules": ["q_proj"]}
    with pytest.raises(ConfigError, match=rf"{section}\.lora\.target_modules: .*c_attn, c_fc"):
        check_before_start(parse_config(content, "test"), tmp_path / "run", tmp_path / "cache")


def test_layers_that_a_model_has_not_are_told_before_it_is_made(tmp_path: Path) -> None:
    wanted = recipe_config(tmp_path, base_model={"layers": 3}, reward_model={"layers": 4})
    with pytest.raises(ConfigError, match=r"reward_model\.layers is 4, and the model has 3"):
        check_before_start(wanted, tmp_path / "run", tmp_path / "cache")
    check_models(recipe_config(tmp_path, base_model={"layers": 4}, reward_model={"layers": 4}))


def cluster_config(**settings: str) -> RunConfig:
    content = {
        "people": ["ann"],
        "prompts": {"source": "reviews"},
        "policy": {"path": "model"},
        "cluster": settings,
    }
    return parse_config(content, "test")


def test_a_store_that_cannot_be_used_is_named_before_anybody_labels(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    config = cluster_config(store=f"file://{tmp_path}/file/andon").cluster
    with pytest.raises(
        ResourceError, match=r"cluster\.store file://.*file/andon cannot be written"
    ):
        check_store(config, tmp_path / "run-1")
    config = cluster_config(store="nowhere://bucket").cluster
    with pytest.raises(ConfigError, match=r"cluster\.store nowhere://bucket: .*nowhere"):
        check_store(config, tmp_path / "run-1")
    config = cluster_config(cache=str(tmp_path / "file" / "cache")).cluster
    with pytest.raises(ResourceError, match=r"cluster\.cache .* cannot be written"):
        check_store(config, tmp_path / "run-1")


def test_a_store_that_can_be_used_is_left_as_it_was(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    cache = str(tmp_path / "cache")
    check_store(cluster_config(store=f"file://{shared}", cache=cache).cluster, tmp_path / "run-1")
    assert list(shared.iterdir()) == []


@pytest.mark.parametrize(
    ("store", "complaint"),
    [
        ("s3", r"cluster\.store: want \"object_store\", \"shared_disk\" or a URL"),
        ("memory://andon", "memory:// is each process's own"),
        ("file://shared", r"names no absolute path: want e\.g\. \"file:///shared/andon\""),
        ("s3://key:secret@bucket/andon", "must hold no password"),
    ],
)
def test_a_store_that_no_node_could_use_is_refused(store: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        cluster_config(store=store)


@pytest.mark.parametrize("cache", ["copies", "./copies", "~/copies"])
def test_a_cache_that_each_node_would_have_elsewhere_is_refused(cache: str) -> None:
    with pytest.raises(ConfigError, match=rf"cluster\.cache: {cache} is no absolute path: want e"):
        cluster_config(cache=cache)
