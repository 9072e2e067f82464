"""Low-rank adapters: what they change, what they leave, and what they come to when merged."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from protocol.errors import ConfigError
from reward_service.adapters import (
    add_adapters,
    base_parameters,
    is_adapted,
    low_rank,
    merge_in,
    merged,
    sharing,
    without_adapters,
)
from reward_service.config import LoRAConfig
from reward_service.lazy_tensors import LazyTensors
from reward_service.pretrained import load_backbone, load_causal_model
from tests.support.architectures import save_architecture

ARCHITECTURES = (
    *("gpt2", "llama tied", "llama untied", "qwen2", "qwen3", "mistral, sliding window"),
    *("gpt-neox", "opt, projected", "bloom, alibi", "gemma3", "phi3"),
    *("mixtral, experts", "qwen3, experts"),
)
LORA = LoRAConfig(rank=4, alpha=6.0)
IDS = torch.arange(4, 36).view(2, 16)


def adapted(folder: Path, config: LoRAConfig = LORA, seed: int = 7) -> PreTrainedModel:
    model: PreTrainedModel = load_causal_model(folder)
    add_adapters(model, config, seed, "policy.lora")
    return model


@torch.no_grad()
def shake(model: nn.Module) -> None:
    """Move the adapters of a model, as training does."""
    generator = torch.Generator().manual_seed(3)
    for name, parameter in model.named_parameters():
        if ".lora_" in name:
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))


@torch.no_grad()
def logits(model: nn.Module) -> Tensor:
    found: Tensor = model(input_ids=IDS).logits
    return found


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_adapters_compute_what_the_merged_model_does(tmp_path: Path, architecture: str) -> None:
    folder = save_architecture(architecture, tmp_path)
    plain = load_causal_model(folder)
    before = logits(plain)
    model = adapted(folder)
    assert torch.equal(logits(model), before)  # B is 0
    shake(model)
    after = logits(model)
    assert (after - before).abs().max() > 0.1
    with without_adapters(model):
        assert torch.equal(logits(model), before)
    assert torch.equal(logits(model), after)
    # Strictly: the merged tensors have the names of a model without adapters, and no others.
    state = model.state_dict()
    whole = merged(LazyTensors(state, state.__getitem__), low_rank(model, state))
    plain.load_state_dict(dict(whole), strict=True)
    assert torch.allclose(logits(plain), after, atol=1e-4)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_base_is_frozen_and_the_adapters_are_few(tmp_path: Path, architecture: str) -> None:
    model = adapted(save_architecture(architecture, tmp_path))
    trained = {name for name, x in model.named_parameters() if x.requires_grad}
    assert trained
    assert all(".lora_" in name for name in trained)
    base = base_parameters(model)
    assert trained.isdisjoint(base)
    assert trained | set(base) == {n for n, _ in model.named_parameters(remove_duplicate=False)}
    head = model.get_output_embeddings()
    assert not hasattr(head, "lora_A")


def test_a_model_without_adapters_has_no_base(tmp_path: Path) -> None:
    model = load_causal_model(save_architecture("gpt2", tmp_path))
    assert not is_adapted(model)
    assert base_parameters(model) == {}


def test_the_draw_follows_from_its_seed_and_leaves_the_random_state(tmp_path: Path) -> None:
    folder = save_architecture("llama tied", tmp_path)
    before = torch.get_rng_state()
    one, same, other = (adapted(folder, seed=seed).state_dict() for seed in (7, 7, 8))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_the_scale_is_alpha_over_the_rank(tmp_path: Path) -> None:
    model = adapted(save_architecture("qwen2", tmp_path))
    found = low_rank(model, model.state_dict())
    assert {each.scaling for each in found.values()} == {6.0 / 4}
    query = found["model.layers.0.self_attn.q_proj.weight"]
    assert (query.left.shape, query.right.shape) == ((32, 4), (4, 32))


def test_a_copy_has_its_base_in_common_and_adapters_of_its_own(tmp_path: Path) -> None:
    model = adapted(save_architecture("gpt2", tmp_path))
    shake(model)
    base = base_parameters(model)
    copied = sharing(model, base.values())
    assert torch.equal(logits(copied), logits(model))
    own = dict(copied.named_parameters(remove_duplicate=False))
    assert all(own[name] is parameter for name, parameter in base.items())
    before = logits(model)
    shake(copied)
    assert not torch.equal(logits(copied), before)
    assert torch.equal(logits(model), before)


def test_merging_leaves_those_alone_who_share_the_base(tmp_path: Path) -> None:
    model = adapted(save_architecture("llama untied", tmp_path))
    shake(model)
    copied = sharing(model, base_parameters(model).values())
    before = logits(model)
    merge_in(copied)
    assert not is_adapted(copied)
    assert all(parameter.requires_grad for parameter in copied.parameters())
    assert torch.allclose(logits(copied), before, atol=1e-4)
    assert torch.equal(logits(model), before)
    # And the merged model can be adapted anew.
    after = logits(copied)
    add_adapters(copied, LORA, 1, "policy.lora")
    assert torch.equal(logits(copied), after)


def test_some_layers_alone_get_adapters(tmp_path: Path) -> None:
    folder = save_architecture("llama untied", tmp_path)
    model = adapted(folder, LoRAConfig(rank=2, target_modules=("q_proj", "mlp.down_proj")))
    kinds = {name.rpartition(".")[0] for name in low_rank(model, model.state_dict())}
    assert {kind.rpartition(".")[2] for kind in kinds} == {"q_proj", "down_proj"}


@pytest.mark.parametrize("name", ["lm_head", "embed_tokens", "c_attn", "proj"])
def test_a_name_of_no_layer_that_can_be_adapted_is_refused(tmp_path: Path, name: str) -> None:
    model = load_backbone(save_architecture("llama untied", tmp_path))
    config = LoRAConfig(target_modules=("q_proj", name))
    with pytest.raises(ConfigError, match=rf"reward_model\.lora\.target_modules: .*{name}.*q_proj"):
        add_adapters(model, config, 1, "reward_model.lora")
    assert not is_adapted(model)


def test_an_architecture_that_cannot_be_adapted_is_refused(tmp_path: Path) -> None:
    model = load_causal_model(save_architecture("mamba", tmp_path))
    with pytest.raises(ConfigError, match=r"policy\.lora: MambaForCausalLM cannot be adapted"):
        add_adapters(model, LORA, 1, "policy.lora")


def test_experts_which_are_no_linear_layers_have_no_adapters(tmp_path: Path) -> None:
    """Nobody could merge them, and a policy was saved, or sent, without what they had learned."""
    mixed = save_architecture("qwen3, experts after a layer without", tmp_path)
    attention = LORA.model_copy(update={"target_modules": ("q_proj", "v_proj")})
    adapters = [name for name, _ in adapted(mixed, attention).named_parameters() if "lora" in name]
    assert len(adapters) == 2 * 2 * 2  # A and B of two layers' two
    # peft takes the name of the first layer's for the experts' own of the second.
    for targets in (("all-linear",), ("gate_proj", "up_proj")):
        with pytest.raises(ConfigError, match=r"lora\.target_modules: .*experts.* no linear layer"):
            adapted(mixed, LORA.model_copy(update={"target_modules": targets}))


@pytest.mark.parametrize(
    ("targets", "complaint"),
    [
        ("all-linear", r'want a list of names, e.g. \["all-linear"\]'),
        ([], "names layers"),
        (["all-linear", "q_proj"], "alone"),
        (["q_proj", "q_proj"], "twice"),
    ],
)
def test_targets_that_say_nothing_are_refused(targets: object, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        LoRAConfig.model_validate({"target_modules": targets})
