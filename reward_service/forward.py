"""The one way hidden states are computed, and the proof that a model allows it.

Shapes: B sequences, T tokens, D hidden width.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from protocol.context_length import context_of
from protocol.errors import InputError
from protocol.model_errors import as_model_error
from reward_service.arithmetic import trunk_arithmetic

_LENGTHS = (16, 6)
"""Tokens of the two sequences a model is tried on: one fills the batch, one is padded."""
_LONGEST_WINDOW = 256
"""Sliding windows up to this are tried beyond their length; a longer one would take too long."""
_TOLERANCE = 1e-3
"""Largest difference that is accepted, as a share of a hidden state's norm. Rounding makes 1e-6 to
1e-4 in float32."""
_CAPS = ("attn_logit_softcapping", "final_logit_softcapping")
"""Keys of a config that cap attention and logits."""


def hidden_states(backbone: Any, input_ids: Tensor) -> Tensor:
    """Return the last hidden states, [B, T, D], of sequences padded on the right.

    A causal model cannot see the padding to the right of a token, so nothing is masked, and
    attention takes its fast path. `check_forward` proves that a model allows it.
    """
    nothing_masked = torch.ones_like(input_ids)
    with trunk_arithmetic(input_ids.device):
        output = backbone(input_ids=input_ids, attention_mask=nothing_masked, use_cache=False)
    hidden: Tensor = output.last_hidden_state
    return hidden


@torch.no_grad()
def check_forward(model: Any, folder: Path) -> None:
    """Refuse a model whose hidden states or log-probabilities we would compute differently.

    Two random sequences are run as a padded batch our way, and in the library's plain arithmetic
    with the padding masked. They differ where attention's fast path leaves something out (a cap, a
    bias), or padding reaches other tokens. A causal language model's logits must moreover be its
    head applied to the hidden states: some architectures scale or cap them.

    Args:
        model: A backbone, or a causal language model; on CPU, in float32.
        folder: Where it came from, for the error.

    Raises:
        InputError: They differ; names the architecture and how.
    """
    refuse_caps(model, folder)
    config, name = model.config, type(model).__name__
    with as_model_error(folder, f"{name} cannot be run on a batch of two texts"):
        input_ids, mask = _trial(config)
        fast = hidden_states(model.base_model, input_ids)
        with _plain_arithmetic(model):
            plain = model.base_model(input_ids=input_ids, attention_mask=mask, use_cache=False)
        difference = _largest_difference(fast, plain.last_hidden_state, mask)
        head = model.get_output_embeddings()
        scales = head is not None and not torch.allclose(
            head(fast), model(input_ids=input_ids, use_cache=False).logits, atol=1e-4, rtol=1e-4
        )
    if fast.shape[-1] != config.hidden_size:
        said = f"its hidden states are {fast.shape[-1]} wide and its config says"
        raise InputError(_refusal(folder, name, f"{said} {config.hidden_size}"))
    if not difference <= _TOLERANCE:
        said = f"its fast attention on a padded batch is off by {difference:.1e} of the plain one"
        raise InputError(_refusal(folder, name, said))
    if scales:
        raise InputError(_refusal(folder, name, "it scales or caps its logits"))


def refuse_caps(model: Any, folder: Path) -> None:
    """Refuse a model that its config says caps logits, which only trained weights may show.

    Raises:
        InputError: It does; names the architecture.
    """
    for key in _CAPS:
        if getattr(model.config, key, None):
            raise InputError(_refusal(folder, type(model).__name__, f"it caps logits ({key})"))


def _refusal(folder: Path, name: str, reason: str) -> str:
    return (
        f"{folder}: {name} cannot be trained here: {reason}, so its log-probabilities would be "
        "wrong; take a model of another architecture"
    )


def _trial(config: Any) -> tuple[Tensor, Tensor]:
    """Return ids and mask, [2, T]: random, but the same for every call."""
    content = config.to_dict()
    longest, shorter = _LENGTHS
    window = content.get("sliding_window")
    if type(window) is int and longest <= window + 8 <= _LONGEST_WINDOW + 8:
        longest = window + 8
    longest = min(longest, context_of(content) or longest)
    generator = torch.Generator().manual_seed(0)
    input_ids = torch.randint(0, config.vocab_size, (2, longest), generator=generator)
    mask = torch.ones_like(input_ids)
    mask[1, min(shorter, longest) :] = 0
    return input_ids, mask


def _largest_difference(fast: Tensor, plain: Tensor, mask: Tensor) -> float:
    """Return the largest difference of two tokens' states, as a share of their norm."""
    scale = plain.norm(dim=-1).clamp(min=1e-6)
    return float(((fast - plain).norm(dim=-1) / scale)[mask.bool()].max())


@contextmanager
def _plain_arithmetic(model: Any) -> Iterator[None]:
    """Have a model compute attention in separate steps, as its architecture writes them down."""
    chosen = model.config._attn_implementation
    if chosen in (None, "eager"):
        yield
        return
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(chosen)
