"""Which products are rounded, and what stays in float32."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from reward_service.arithmetic import (
    FLOAT32_ATTENTION,
    INSTRUCTIONS,
    attend_in_float32,
    products_rounded,
    put_weights_in,
    rounds_products,
)
from reward_service.forward import hidden_states
from reward_service.pretrained import load_causal_model
from tests.support.architectures import save_architecture
from tests.support.tiny_model import save_tiny_model

CPU, GPU = torch.device("cpu"), torch.device("cuda")
IDS = torch.arange(24).view(2, 12) + 4


@pytest.fixture
def model(tmp_path: Path) -> Any:
    return load_causal_model(save_tiny_model(tmp_path / "model"))


@pytest.mark.parametrize("instruction", [*INSTRUCTIONS, None])
def test_what_is_chosen_follows_the_processor(
    monkeypatch: pytest.MonkeyPatch, instruction: str | None
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {instruction: True, "avx2": True})
    assert rounds_products("float32", "auto", CPU) is (instruction is not None)
    assert not rounds_products("float32", "auto", GPU)


@pytest.mark.parametrize(
    ("dtype", "matmul_dtype", "device", "rounds"),
    [
        ("float32", "float32", CPU, False),
        ("float32", "bfloat16", CPU, True),
        ("float32", "bfloat16", GPU, True),
        ("bfloat16", "auto", CPU, False),
        ("bfloat16", "bfloat16", GPU, False),
    ],
)
def test_what_is_told_is_done(
    dtype: str, matmul_dtype: str, device: torch.device, rounds: bool
) -> None:
    assert rounds_products(dtype, matmul_dtype, device) is rounds


def test_products_alone_are_rounded(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = hidden_states(model.base_model, IDS)
    attend_in_float32(model)
    products: set[torch.dtype] = set()
    attention: set[torch.dtype] = set()
    for module in model.base_model.modules():
        if type(module).__name__ in ("Conv1D", "Linear"):
            module.register_forward_hook(lambda _, given, made: products.add(made.dtype))
    attend = nn.functional.scaled_dot_product_attention

    def seen(query: Tensor, *others: Any, **options: Any) -> Tensor:
        attention.add(query.dtype)
        return attend(query, *others, **options)

    monkeypatch.setattr(nn.functional, "scaled_dot_product_attention", seen)
    with products_rounded(True):
        rounded = hidden_states(model.base_model, IDS)
    assert (products, attention) == ({torch.bfloat16}, {torch.float32})
    assert rounded.dtype == torch.float32, "what the heads are given"
    error = float(((rounded - exact).norm() / exact.norm()).detach())
    assert 1e-5 < error < 0.02, "eight bits of a factor, averaged over a sum"
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_what_is_not_asked_for_is_exact_again(model: Any) -> None:
    exact = hidden_states(model.base_model, IDS)
    attend_in_float32(model)
    with products_rounded(True):
        pass
    assert model.config._attn_implementation == FLOAT32_ATTENTION
    assert torch.equal(hidden_states(model.base_model, IDS), exact)


def test_one_thread_does_not_choose_for_another(model: Any) -> None:
    exact = hidden_states(model.base_model, IDS)
    with products_rounded(True), ThreadPoolExecutor(1) as pool:
        elsewhere = pool.submit(hidden_states, model.base_model, IDS).result()
        here = hidden_states(model.base_model, IDS)
    assert torch.equal(elsewhere, exact)
    assert not torch.equal(here, exact)


def test_layers_computed_again_are_computed_alike(model: Any) -> None:
    def gradients() -> list[Tensor]:
        model.zero_grad()
        with products_rounded(True):
            loss = hidden_states(model.base_model, IDS).square().sum()
        loss.backward()
        return [each.grad.clone() for each in model.base_model.parameters()]

    attend_in_float32(model)
    kept = gradients()
    model.gradient_checkpointing_enable({"use_reentrant": False, "preserve_rng_state": False})
    model.train()
    again = gradients()
    assert all(torch.equal(one, other) for one, other in zip(kept, again, strict=True))


def test_weights_change_their_type_and_the_frequencies_of_positions_do_not(tmp_path: Path) -> None:
    model = load_causal_model(save_architecture("llama tied", tmp_path / "model"))
    before = {name: x.clone() for name, x in model.named_buffers()}
    put_weights_in(model, torch.bfloat16)
    assert {x.dtype for x in model.parameters()} == {torch.bfloat16}
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert "model.rotary_emb.inv_freq" in before
    after = dict(model.named_buffers())
    assert all(
        torch.equal(after[name], x) and after[name].dtype == x.dtype for name, x in before.items()
    )
