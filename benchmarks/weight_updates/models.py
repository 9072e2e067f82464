"""Models of given sizes, with random weights."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from protocol.messages import Probe
from tests.support.tiny_model import save_tiny_model

VOCABULARY = 500
CONTEXT = 256
PROBE_TOKENS = tuple(range(4, 36))


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A GPT-2 in float32."""

    width: int
    layers: int
    stream_tokens: int
    """Length of the responses in which a version comes: so long that it comes before their end."""


SIZES = {
    "5 MB": Size(width=160, layers=4, stream_tokens=100),
    "100 MB": Size(width=512, layers=8, stream_tokens=100),
    "1 GB": Size(width=1280, layers=13, stream_tokens=24),
}


def make_model(size: Size) -> GPT2LMHeadModel:
    """Return a model with random weights, which is not trained."""
    config = GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=CONTEXT,
        n_embd=size.width,
        n_layer=size.layers,
        n_head=size.width // 32,
        bos_token_id=1,
        eos_token_id=2,
    )
    torch.manual_seed(1)
    return GPT2LMHeadModel(config).eval()


def save_model(model: GPT2LMHeadModel, folder: Path) -> Path:
    """Write it with some tokenizer; return the folder."""
    save_tiny_model(folder)
    model.save_pretrained(folder)
    return folder


@torch.no_grad()
def change(model: GPT2LMHeadModel) -> None:
    """Change every weight a little, as a step does."""
    for parameter in model.parameters():
        parameter.mul_(1.01)


@torch.no_grad()
def ask(model: GPT2LMHeadModel) -> Probe:
    """Return what the weights say of the probe."""
    sequence = torch.tensor(PROBE_TOKENS)
    logits = model(sequence[None]).logits[0, :-1]
    chosen = logits.log_softmax(-1).gather(1, sequence[1:, None])[:, 0]
    return Probe(token_ids=PROBE_TOKENS, logprobs=tuple(chosen.tolist()))


def num_bytes(tensors: Iterable[Tensor]) -> int:
    """Return how many bytes tensors have."""
    return sum(each.numel() * each.element_size() for each in tensors)
