"""Activations in one kernel: the same function and gradient, the same weights, less work."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.activations import ACT2FN

from reward_service.config import RewardModelConfig
from reward_service.fused import with_fused_activations
from reward_service.pretrained import load_causal_model
from reward_service.reward_model import RewardModel
from tests.support.tiny_model import save_tiny_model

WRITTEN_OUT = ("gelu_new", "gelu_fast")


@pytest.mark.parametrize("name", WRITTEN_OUT)
def test_it_is_the_same_function_with_the_same_gradient(name: str) -> None:
    x = torch.linspace(-8, 8, 4001, dtype=torch.float64, requires_grad=True)
    block = torch.nn.Sequential(ACT2FN[name])
    slow = block(x)
    (slow_gradient,) = torch.autograd.grad(slow.sum(), x)
    fast = with_fused_activations(block)(x)
    (fast_gradient,) = torch.autograd.grad(fast.sum(), x)
    torch.testing.assert_close(fast, slow, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(fast_gradient, slow_gradient, rtol=1e-6, atol=1e-8)


def test_other_activations_stay() -> None:
    block = torch.nn.Sequential(*(ACT2FN[name] for name in ("gelu", "silu", "relu")))
    kinds = [type(each) for each in block]
    assert [type(each) for each in with_fused_activations(block)] == kinds


@pytest.mark.parametrize("name", WRITTEN_OUT)
def test_whatever_is_loaded_has_them_and_keeps_its_weights_and_config(
    tmp_path: Path, name: str
) -> None:
    folder = save_tiny_model(tmp_path / "model")
    config = GPT2Config.from_pretrained(folder, activation_function=name)
    GPT2LMHeadModel(config).save_pretrained(folder)
    model = load_causal_model(folder)
    assert model.config.activation_function == name
    reward = RewardModel.from_config(model.config, RewardModelConfig())
    for each in (model, reward):
        kinds = {type(module) for module in each.modules() if "GELU" in type(module).__name__}
        assert kinds == {torch.nn.GELU}
    plain = GPT2LMHeadModel.from_pretrained(folder)
    assert plain.state_dict().keys() == model.state_dict().keys()
    ids = torch.arange(12)[None]
    torch.testing.assert_close(model(ids).logits, plain(ids).logits, rtol=1e-4, atol=1e-5)
