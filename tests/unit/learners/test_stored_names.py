"""Weights leave the learner as the policy's folder has them, whatever the library calls them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

from learners.stored_names import StoredNames
from protocol.model_folder import tensor_names
from reward_service.lazy_tensors import LazyTensors
from reward_service.pretrained import load_causal_model
from tests.support import learner_inputs as inputs
from tests.support.architectures import save_architecture
from tests.support.messages import weights_path
from tests.support.policy_learner import policy_learner
from tests.support.present import present
from tests.support.tiny_model import save_tiny_model

EXPERTS = "experts in one tensor"
"""The library holds them so, and a published model's files hold each by itself."""
OTHERWISE = (EXPERTS, "gpt-neox")


def saved(name: str, folder: Path) -> Path:
    if name != EXPERTS:
        return save_architecture(name, folder)
    save_tiny_model(folder)
    config = Qwen3MoeConfig(
        vocab_size=54,
        hidden_size=32,
        intermediate_size=64,
        moe_intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        num_experts=4,
        num_experts_per_tok=2,
        max_position_embeddings=64,
        initializer_range=0.3,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        Qwen3MoeForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("name", "besides"),
    [
        *((name, set()) for name in (*OTHERWISE, "llama untied")),
        # A tied head goes along: engines keep a copy of it.
        *((name, {"lm_head.weight"}) for name in ("llama tied", "qwen2")),
    ],
)
def test_version_0_is_what_lies_in_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, besides: set[str]
) -> None:
    folder = saved(name, tmp_path / "model")
    learner = policy_learner(folder, tmp_path, monkeypatch)
    published = load_file(weights_path(present(learner.announce())))
    stored = load_file(folder / "model.safetensors")
    assert published.keys() ^ stored.keys() == besides
    for each, tensor in stored.items():
        assert torch.equal(published[each], tensor), each


@pytest.mark.parametrize("name", OTHERWISE)
def test_a_trained_policy_is_saved_as_its_folder_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = saved(name, tmp_path / "model")
    learner = policy_learner(folder, tmp_path, monkeypatch)
    learner.step(inputs.experience_batch(0))
    learner.save(tmp_path / "final")
    assert tensor_names(tmp_path / "final") == tensor_names(folder)
    ids = torch.arange(4, 24)[None]
    with torch.no_grad():
        found = load_causal_model(tmp_path / "final")(ids).logits
        expected = learner._engine.module.language_model(ids).logits
        before = load_causal_model(folder)(ids).logits
    assert torch.equal(found, expected)
    assert not torch.allclose(before, expected, atol=1e-3)


def test_ranks_that_take_nothing_ask_for_each_tensor_once_and_in_the_same_order(
    tmp_path: Path,
) -> None:
    folder = saved(EXPERTS, tmp_path)
    model = load_causal_model(folder)
    names = StoredNames(model, tensor_names(folder))
    state = model.state_dict()

    def asked(*, is_there: bool) -> list[str]:
        told: list[str] = []

        def make(name: str) -> Tensor:
            told.append(name)
            return state[name] if is_there else torch.empty(0)

        tensors = names.of(LazyTensors(state, make))
        tensors.taken(dict if is_there else None)
        return told

    assert asked(is_there=True) == asked(is_there=False)
    assert sorted(asked(is_there=False)) == sorted(state)
