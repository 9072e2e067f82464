"""What passes hold by the meta device, against what PyTorch really saves and holds on the CPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, GPT2Config

from cluster.planning.live_bytes import LiveBytes, fast_attention, grouped_products
from cluster.planning.models import Critic, MetaModels, PassShape, PolicyKind
from learners.activations import keep_no_activations
from learners.policy_model import PolicyModel
from reward_service.adapters import add_adapters
from reward_service.config import LoRAConfig, RewardModelConfig
from reward_service.forward import hidden_states
from reward_service.fused import with_fused_activations
from reward_service.pretrained import without_dropout
from tests.support.architectures import ARCHITECTURES

NAMES = ("gpt2", "llama untied", "qwen2", "qwen3", "gemma3", "mistral, sliding window", "phi3")
SHAPES = (
    PassShape(rows=2, prompt_tokens=8, response_tokens=24),
    PassShape(rows=5, prompt_tokens=3, response_tokens=9),
)
SAVED_BOUND = 0.05
"""Largest error of what is saved for the backward pass, as a share of it."""
PEAK_BOUND = 0.15
"""Largest error of the peak, as a share of it: a kernel may be another on another device."""


def saved_bytes(model: Any, ids: Tensor) -> int:
    """Return what a forward pass saves, by PyTorch's own hooks, weights left out."""
    weights = {each.untyped_storage().data_ptr() for each in model.parameters()}
    saved: dict[int, int] = {}

    def pack(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = storage.nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        hidden = hidden_states(model.base_model, ids)
    del hidden
    return sum(saved.values())


@pytest.mark.parametrize("name", [*NAMES, "mixtral, experts"])
@pytest.mark.parametrize("rows", [1, 6])
def test_what_is_saved_is_what_the_hooks_of_autograd_see(name: str, rows: int) -> None:
    config = without_dropout(ARCHITECTURES[name][1]())
    real = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    real_bytes = saved_bytes(real, torch.zeros(rows, 32, dtype=torch.int64))

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        ids = torch.empty(rows, 32, dtype=torch.int64)
    live = LiveBytes("meta", [*model.parameters(), *model.buffers(), ids])
    with live, fast_attention(), grouped_products():
        hidden = hidden_states(model.base_model, ids)
        held = live.held
    # The result is held as well, though the norm before it may be what is saved of it.
    assert held == pytest.approx(real_bytes, abs=SAVED_BOUND * real_bytes + hidden.nbytes)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("lora", [None, LoRAConfig(rank=2)], ids=["all weights", "adapters"])
def test_a_step_holds_what_it_holds_on_the_cpu(
    name: str, checkpointing: bool, shape: PassShape, lora: LoRAConfig | None
) -> None:
    config = without_dropout(ARCHITECTURES[name][1]())
    kind = PolicyKind(lora=lora)
    planned = MetaModels(config).policy_step(
        kind, shape, "float32", checkpointing=checkpointing, gradients_are_new=True
    )

    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    if lora is not None:
        add_adapters(model, lora, 0, "policy.lora")
    real = PolicyModel(with_fused_activations(model))
    if checkpointing:
        keep_no_activations(real)
    tokens = shape.prompt_tokens + shape.response_tokens
    inputs = (
        torch.zeros(shape.rows, tokens, dtype=torch.int64),
        torch.zeros(shape.rows, shape.response_tokens, dtype=torch.int64),
        torch.full((shape.rows,), shape.prompt_tokens),
        torch.ones(shape.rows),
    )
    live = LiveBytes("cpu", [*real.parameters(), *real.buffers(), *inputs])
    with live:
        logprobs, values, _ = real(*inputs)
        torch.autograd.backward([logprobs.sum() + values.sum()])
    assert planned == pytest.approx(live.peak, rel=PEAK_BOUND)


@pytest.mark.parametrize("critic", ["shared", "separate"])
def test_a_pass_over_text_holds_what_it_holds_on_the_cpu(critic: Critic) -> None:
    config = without_dropout(ARCHITECTURES["qwen2"][1]())
    models, kind = MetaModels(config), PolicyKind(critic=critic)

    def planned(gradients_are_new: bool | None) -> int:
        return models.text_pass(
            kind, 5, 24, "float32", checkpointing=False, gradients_are_new=gradients_are_new
        )

    model, own = (AutoModelForCausalLM.from_config(config, dtype=torch.float32) for _ in range(2))
    trunk = own.base_model if critic == "separate" else None
    real = PolicyModel(with_fused_activations(model), critic=trunk)
    inputs = (
        torch.zeros(5, 24, dtype=torch.int64),
        torch.zeros(5, 23, dtype=torch.int64),
        torch.ones(5, dtype=torch.int64),
        torch.ones(5),
    )
    live = LiveBytes("cpu", [*real.parameters(), *real.buffers(), *inputs])
    with live:
        logprobs, zeros, _ = real(*inputs, with_values=False)
        (zeros - logprobs).mean(dim=1).sum().backward()
    assert planned(gradients_are_new=True) == pytest.approx(live.peak, rel=PEAK_BOUND)
    assert planned(gradients_are_new=None) < planned(gradients_are_new=False)


def test_gradients_that_are_there_count_for_nothing_and_new_ones_do() -> None:
    models = MetaModels(ARCHITECTURES["qwen2"][1]())
    shape = PassShape(rows=1, prompt_tokens=1, response_tokens=2)

    def held(gradients_are_new: bool) -> int:
        return models.policy_step(
            PolicyKind(), shape, "float32", checkpointing=False, gradients_are_new=gradients_are_new
        )

    assert held(gradients_are_new=True) >= 4 * models.policy(PolicyKind()).total
    assert held(gradients_are_new=False) < 4 * models.policy(PolicyKind()).total


def test_layers_that_are_computed_again_hold_less_and_more_of_them_hardly_more() -> None:
    shape = PassShape(rows=8, prompt_tokens=16, response_tokens=48)

    def held(layers: int, checkpointing: bool) -> int:
        config = GPT2Config(vocab_size=97, n_positions=64, n_embd=64, n_layer=layers, n_head=4)
        return MetaModels(config).policy_step(
            PolicyKind(), shape, "float32", checkpointing=checkpointing, gradients_are_new=False
        )

    assert held(8, checkpointing=True) < 0.3 * held(8, checkpointing=False)
    a_layer = (held(8, checkpointing=False) - held(4, checkpointing=False)) / 4
    again = (held(8, checkpointing=True) - held(4, checkpointing=True)) / 4
    # What enters a layer: [B, L − 1, D] in float32, for the last token predicts none.
    assert again == pytest.approx(4 * 8 * 63 * 64, rel=0.01)
    assert a_layer > 10 * again


def test_logits_are_held_for_a_chunk_of_tokens_and_never_for_all() -> None:
    vocabulary, shape = 2**20, PassShape(rows=4, prompt_tokens=8, response_tokens=64)
    config = GPT2Config(vocab_size=vocabulary, n_positions=128, n_embd=8, n_layer=1, n_head=1)
    held = MetaModels(config).policy_step(
        PolicyKind(), shape, "float32", checkpointing=False, gradients_are_new=False
    )
    # 16 tokens' logits are a chunk of 64 MiB; in the backward pass there are a few copies of it.
    assert 2 * 64 * 2**20 < held < 8 * 64 * 2**20 < 4 * vocabulary * 4 * 64


def test_a_reward_model_counts_its_heads_and_scoring_holds_more_for_more_tokens() -> None:
    models = MetaModels(ARCHITECTURES["llama untied"][1]())
    one, four = RewardModelConfig(num_heads=1), RewardModelConfig(num_heads=4)
    assert models.reward(four).total - models.reward(one).total == 3 * (32 + 1)
    assert models.scoring(one, 8, 32, "float32") > 3 * models.scoring(one, 2, 32, "float32")
    assert models.scoring(one, 8, 32, "bfloat16") < models.scoring(one, 8, 32, "float32")
