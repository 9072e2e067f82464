"""In which type a transformer in training computes what.

A CPU with instructions for it multiplies in bfloat16 at twice the rate of float32. Products are
most of a pass through a small model, and their factors alone are rounded, as in mixed precision
(Micikevicius et al. 2018): weights, residuals, attention, heads, losses and sums stay in float32.
So do all passes that are not differentiated: what they say is compared with what an engine, ρ or
the reward service says.
Attention, because PyTorch's backward pass of it in bfloat16 on CPU takes four times as long as in
float32 where texts are short; heads, because a logit of 10 rounded to bfloat16 is off by 0.03, and
a log-probability with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

INSTRUCTIONS = ("avx512_bf16", "amx_bf16")
"""PyTorch's names of what a CPU needs to multiply in bfloat16; one of them is enough."""
FLOAT32_ATTENTION = "sdpa_in_float32"
"""Name, among transformers' own, of attention that is in float32 whatever comes into it."""

_rounds_products: ContextVar[bool] = ContextVar("products in bfloat16", default=False)


def multiplies_in_bfloat16() -> bool:
    """Say whether this CPU has instructions for products in bfloat16."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in INSTRUCTIONS)


def rounds_products(dtype: str, matmul_dtype: str, device: torch.device) -> bool:
    """Say whether passes that are differentiated are to multiply in bfloat16.

    Args:
        dtype: Of the weights, "float32" or "bfloat16", which is left as it is.
        matmul_dtype: "auto", "float32" or "bfloat16"; "auto" leaves it to the CPU, and leaves a GPU
            to the type of the weights.
        device: Where the weights are.
    """
    chosen = matmul_dtype == "auto" and device.type == "cpu" and multiplies_in_bfloat16()
    return dtype == "float32" and (chosen or matmul_dtype == "bfloat16")


def attend_in_float32(module: nn.Module) -> None:
    """Have the transformers in a module that attend by PyTorch's function do so in float32."""
    for part in module.modules():
        if isinstance(part, PreTrainedModel) and part.config._attn_implementation == "sdpa":
            part.set_attn_implementation(FLOAT32_ATTENTION)


@contextmanager
def products_rounded(are_rounded: bool) -> Iterator[None]:
    """Have this thread's passes through trunks meanwhile multiply in bfloat16, or not."""
    token = _rounds_products.set(are_rounded)
    try:
        yield
    finally:
        _rounds_products.reset(token)


def trunk_arithmetic(device: torch.device) -> AbstractContextManager[None]:
    """Return the context a trunk runs in, by what `products_rounded` said."""
    if not _rounds_products.get():
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


@torch.no_grad()
def put_weights_in(module: nn.Module, dtype: torch.dtype) -> None:
    """Give a module's weights a type, in place, and leave its buffers as they are.

    A transformer keeps the frequencies of its rotary positions there. Rounded to bfloat16 they turn
    a token at position 500 by a radian more or less; DeepSpeed, vLLM and the library's own loading
    leave them in float32.

    Args:
        module: On any device.
        dtype: Of all parameters that are no integers.
    """
    for parameter in module.parameters():
        if parameter.is_floating_point():
            parameter.data = parameter.data.to(dtype)


def _attend_in_float32(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **options: Any,
) -> tuple[Tensor, None]:
    with torch.autocast(query.device.type, enabled=False):
        attended, nothing = sdpa_attention_forward(
            module, query.float(), key.float(), value.float(), attention_mask, **options
        )
    return attended.to(query.dtype), nothing


AttentionInterface.register(FLOAT32_ATTENTION, _attend_in_float32)
AttentionMaskInterface.register(FLOAT32_ATTENTION, sdpa_mask)
