"""Weights that are counted on the meta device, against models that are there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from cluster.planning.models import MetaModels
from learners.config import PPOConfig
from learners.policy_model import PolicyModel, policy_tensors
from learners.weights import SharedMemoryPublisher
from reward_service.config import RewardModelConfig
from reward_service.pretrained import load_causal_model, read_config
from reward_service.reward_model import RewardModel
from tests.support.architectures import save_architecture

SHAPES = Path(__file__).parents[3] / "support" / "model_configs"


@pytest.mark.parametrize("name", ["gpt2", "llama untied", "qwen2", "gemma3"])
def test_a_model_counts_what_it_has_when_it_is_loaded(name: str, tmp_path: Path) -> None:
    folder = save_architecture(name, tmp_path / "model")
    models = MetaModels(read_config(folder))
    loaded = load_causal_model(folder)
    assert models.language_model.total == sum(each.numel() for each in loaded.parameters())
    assert models.language_model.largest == max(each.numel() for each in loaded.parameters())
    for critic in ("shared", "separate"):
        config = PPOConfig.model_validate({"critic": critic})
        policy = PolicyModel.from_pretrained(folder, config)
        counted = models.policy(config.critic).total
        assert counted == sum(each.numel() for each in policy.parameters())
    reward = RewardModel.from_reference(folder, RewardModelConfig(), torch.Generator())
    counted = models.reward(RewardModelConfig()).total
    assert counted == sum(each.numel() for each in reward.parameters())


@pytest.mark.parametrize("name", ["gpt2", "llama untied"])
def test_a_version_is_as_large_as_the_file_it_is_published_in(name: str, tmp_path: Path) -> None:
    folder = save_architecture(name, tmp_path / "model")
    model = PolicyModel.from_pretrained(folder, PPOConfig())
    named = dict(model.named_parameters(remove_duplicate=False))
    tensors = policy_tensors({name: each.detach() for name, each in named.items()})
    written = SharedMemoryPublisher(tmp_path / "shared").publish(0, tensors)
    size = sum(each.nbytes for each in load_file(written.path).values())
    assert 4 * MetaModels(read_config(folder)).published == size


@pytest.mark.parametrize(
    ("name", "weights", "kv_bytes"),
    [
        # As the models' cards have them: 0.49 B and 7.61 B, 24 and 28 layers, 2 and 4 heads of KV.
        ("qwen2.5-0.5b", 494_032_768, 2 * 24 * 2 * 64 * 2),
        ("qwen2.5-7b", 7_615_616_512, 2 * 28 * 4 * 128 * 2),
    ],
)
def test_published_models_have_the_weights_they_say(name: str, weights: int, kv_bytes: int) -> None:
    models = MetaModels(read_config(SHAPES / name))
    assert models.language_model.total == weights
    assert models.kv_bytes_per_token("bfloat16") == kv_bytes
