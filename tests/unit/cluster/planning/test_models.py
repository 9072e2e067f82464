"""Weights that are counted on the meta device, against models that are there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from cluster.planning.models import MetaModels, PolicyKind
from learners.config import PPOConfig
from learners.policy_model import POLICY_PREFIX, PolicyModel
from learners.weights import SharedMemoryPublisher
from protocol.errors import ConfigError
from reward_service.bundle import load_bundle, write_bundle
from reward_service.config import LoRAConfig, RewardModelConfig
from reward_service.lazy_tensors import LazyTensors
from reward_service.pretrained import load_causal_model, read_config
from reward_service.reward_model import RewardModel
from tests.support.architectures import save_architecture
from tests.support.reward import make_reward_version

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
        counted = models.policy(PolicyKind(critic=config.critic)).total
        assert counted == sum(each.numel() for each in policy.parameters())
    reward = RewardModel.from_reference(folder, RewardModelConfig(), torch.Generator())
    counted = models.reward(RewardModelConfig()).total
    assert counted == sum(each.numel() for each in reward.parameters())


LORA = LoRAConfig(rank=4)
ON_BASE = {
    "adapters": {"lora": LORA},
    "heads": {"frozen_trunk": True},
    "heads on one layer": {"frozen_trunk": True, "layers": 1},
    "adapters of one layer": {"lora": LORA, "layers": 1},
}


@pytest.mark.parametrize("settings", ON_BASE.values(), ids=ON_BASE)
@pytest.mark.parametrize("name", ["gpt2", "llama untied", "qwen2"])
def test_what_leaves_the_reference_as_it_is_counts_what_it_has_when_it_is_made(
    name: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    folder = save_architecture(name, tmp_path / "model")
    models = MetaModels(read_config(folder))
    config = RewardModelConfig(num_heads=2, **settings)
    reward = RewardModel.from_reference(folder, config, torch.Generator())
    kept = write_bundle(tmp_path / "reward", reward, make_reward_version())
    stored = load_file(Path(kept.path) / "model.safetensors")
    counted = models.reward(config)
    assert counted.total == sum(each.numel() for each in reward.parameters())
    gain_and_bias = 2 * 2
    assert counted.trained + gain_and_bias == sum(each.numel() for each in stored.values())
    loaded = load_bundle(Path(kept.path)).model
    assert counted.total == sum(each.numel() for each in loaded.parameters())


@pytest.mark.parametrize("name", ["gpt2", "llama untied", "qwen2"])
def test_adapters_count_what_they_have_when_they_are_made(name: str, tmp_path: Path) -> None:
    folder = save_architecture(name, tmp_path / "model")
    models = MetaModels(read_config(folder))
    reward = RewardModel.from_reference(
        folder, RewardModelConfig(num_heads=2, lora=LORA), torch.Generator()
    )
    kept = write_bundle(tmp_path / "reward", reward, make_reward_version())
    for critic, own in (("shared", None), ("separate", None), ("separate", kept.path)):
        ppo = PPOConfig.model_validate({"critic": critic, "critic_path": own})
        policy = PolicyModel.from_pretrained(folder, ppo, LORA)
        kind = PolicyKind(critic=ppo.critic, lora=LORA, has_own_critic=own is not None)
        trained = [x for x in policy.parameters() if x.requires_grad]
        found = models.policy(kind)
        assert found.total == sum(each.numel() for each in policy.parameters())
        assert found.trained == sum(each.numel() for each in trained)
        assert found.largest_of_trained == max(each.numel() for each in trained)
    adapters = [x for n, x in policy.language_model.named_parameters() if ".lora_" in n]
    assert models.adapters(LORA).total == sum(each.numel() for each in adapters)


def test_targets_that_a_model_does_not_have_are_told_by_its_plan() -> None:
    models = MetaModels(read_config(SHAPES / "qwen2.5-0.5b"), follows_passes=False)
    with pytest.raises(
        ConfigError, match=r"policy\.lora\.target_modules: .* no linear layer 'fc1'"
    ):
        models.policy(PolicyKind(lora=LoRAConfig(target_modules=("fc1",))))


@pytest.mark.parametrize("name", ["gpt2", "llama untied"])
def test_a_version_is_as_large_as_the_file_it_is_published_in(name: str, tmp_path: Path) -> None:
    folder = save_architecture(name, tmp_path / "model")
    model = PolicyModel.from_pretrained(folder, PPOConfig())
    named = dict(model.named_parameters(remove_duplicate=False))
    tensors = LazyTensors(named, lambda name: named[name].detach()).under(POLICY_PREFIX)
    publisher = SharedMemoryPublisher(tmp_path / "shared")
    written = publisher.publish(0, tensors)
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
