"""Layers computed again in the backward pass: the same gradients, and less that is kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from learners.activations import keep_no_activations
from learners.config import PPOConfig
from learners.policy_model import PolicyModel
from protocol.errors import ConfigError
from reward_service.config import RewardModelConfig
from reward_service.reward_model import RewardModel
from tests.support.architectures import save_architecture

ARCHITECTURES = ("gpt2", "llama tied", "qwen2", "qwen3", "mistral, sliding window", "gpt-neox")
IDS = torch.arange(3, 35).view(2, 16)


def policy(folder: Path, critic: str = "shared") -> PolicyModel:
    return PolicyModel.from_pretrained(folder, PPOConfig.model_validate({"critic": critic}))


def losses_of_a_policy(model: PolicyModel) -> Tensor:
    logprobs, values, _ = model(IDS, IDS[:, 8:], torch.tensor([8, 8]), torch.ones(2))
    loss: Tensor = (logprobs.square() + (values - 1.0).square()).mean()
    return loss


def learned(model: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: x.grad.clone() for name, x in model.named_parameters() if x.grad is not None}


def kept_bytes(model: PolicyModel) -> int:
    """Count what a forward pass keeps for the backward one, but for the weights."""
    weights = {x.untyped_storage().data_ptr() for x in model.parameters()}
    kept: dict[int, int] = {}

    def keep(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        losses_of_a_policy(model)
    return sum(kept.values())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_gradients_are_the_same_bit_for_bit(tmp_path: Path, architecture: str) -> None:
    folder = save_architecture(architecture, tmp_path)
    for critic in ("shared", "separate"):
        model = policy(folder, critic)
        expected = learned(model, losses_of_a_policy(model))
        keep_no_activations(model)
        again = learned(model, losses_of_a_policy(model))
        assert len(expected) > 10
        assert expected.keys() == again.keys()
        assert all(torch.equal(expected[name], again[name]) for name in expected)


def test_a_reward_is_fitted_the_same(tmp_path: Path) -> None:
    folder = save_architecture("qwen2", tmp_path)
    generator = torch.Generator().manual_seed(1)
    model = RewardModel.from_reference(folder, RewardModelConfig(num_heads=2), generator)
    expected = learned(model, model(IDS, torch.ones_like(IDS)).square().sum())
    keep_no_activations(model)
    again = learned(model, model(IDS, torch.ones_like(IDS)).square().sum())
    assert all(torch.equal(expected[name], again[name]) for name in expected)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_less_is_kept(tmp_path: Path, architecture: str) -> None:
    model = policy(save_architecture(architecture, tmp_path))
    before = kept_bytes(model)
    keep_no_activations(model)
    assert kept_bytes(model) < 0.5 * before


def test_what_cannot_do_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = policy(save_architecture("gpt2", tmp_path))
    monkeypatch.setattr(PreTrainedModel, "supports_gradient_checkpointing", False)
    monkeypatch.setattr(type(model.language_model), "supports_gradient_checkpointing", False)
    with pytest.raises(ConfigError, match="set gradient_checkpointing = false"):
        keep_no_activations(model)
