"""Peak memory of a PPO step, against what it cannot do without.

    python -m benchmarks.learner_memory [--vocabulary 131072] [--tokens 1024]
    python -m benchmarks.learner_memory --width 1024 --layers 24 --rows 8 --dtype bfloat16
    python -m benchmarks.learner_memory … --gradient-checkpointing

By default a GPT-2 of width 128 and two layers, one response, one rank, and a large vocabulary.
Cannot be done without: π's weights, gradients and both moments, ρ's weights, and what one chunk of
logits takes forward and backward: logits, these by the temperature, their softmax and their
gradient. What layers compute comes on top, little of it in so small a model. The peak is what the
system counts for a process of its own (`VmHWM`), less what it had before the models were made; on a
GPU, which is used where there is one, what PyTorch has allocated there.
"""

from __future__ import annotations

import argparse
import gc
import random
import tempfile
import time
from pathlib import Path
from typing import Literal

import click
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from benchmarks.against_trl.task import write_model
from benchmarks.learner_lengths import PROMPT_TOKENS, lone_learner, make_batch
from learners.config import PPOConfig
from learners.policy_model import CHUNK_LOGITS

MIB = 2**20
BYTES_A_WEIGHT = {"float32": 16 + 4, "bfloat16": 2 + 2 + 4 + 4 + 8 + 2}
"""π, gradients, two moments, and ρ; in bfloat16 gradients are summed, and weights moved, in
float32."""
CHUNK_COPIES = 4
"""Copies of a chunk of logits."""


def held_bytes(what: Literal["VmRSS", "VmHWM"]) -> int:
    """Return the memory held, or the most that was held at a time, where the learner computes."""
    if torch.cuda.is_available():
        held = torch.cuda.memory_allocated if what == "VmRSS" else torch.cuda.max_memory_allocated
        return int(held())
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(what))
    return int(line.split()[1]) * 1024


def save_model(folder: Path, chosen: argparse.Namespace) -> int:
    """Write a GPT-2 of random weights; return how many."""
    write_model(folder)  # for its tokenizer
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=chosen.vocabulary,
            n_positions=chosen.tokens + PROMPT_TOKENS,
            n_embd=chosen.width,
            n_layer=chosen.layers,
            n_head=max(2, chosen.width // 64),
            activation_function="gelu_pytorch_tanh",
        )
    )
    model.save_pretrained(folder)
    return sum(each.numel() for each in model.parameters())


def main() -> None:
    """Run from the command line; see the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--vocabulary", type=int, default=131_072)
    parser.add_argument("--tokens", type=int, default=1024, help="of each response")
    parser.add_argument("--rows", type=int, default=1, help="responses, in one forward pass")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--dtype", choices=sorted(BYTES_A_WEIGHT), default="float32")
    parser.add_argument("--gradient-checkpointing", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        num_weights = save_model(root / "model", chosen)
        gc.collect()
        before = held_bytes("VmRSS")
        ppo = PPOConfig(batch_size=chosen.rows, minibatches=1, epochs=1, lr=1e-6)
        engine = {"dtype": chosen.dtype, "gradient_checkpointing": chosen.gradient_checkpointing}
        with lone_learner(root, root / "model", ppo, **engine) as learner:
            rng = random.Random(1)
            for step in range(2):  # the first of them also makes what is kept
                started = time.perf_counter()
                learner.step(make_batch(step, [chosen.tokens] * chosen.rows, rng))
                seconds = time.perf_counter() - started
            peak = held_bytes("VmHWM")
    weights = num_weights * BYTES_A_WEIGHT[chosen.dtype]
    whole = 4 * CHUNK_COPIES * chosen.rows * chosen.tokens * chosen.vocabulary
    needed = weights + min(4 * CHUNK_COPIES * CHUNK_LOGITS, whole)
    click.echo(
        f"{num_weights / 1e6:.0f} M weights, which take {weights / MIB:.0f} MiB; with a chunk of "
        f"logits {needed / MIB:.0f} MiB are needed; peak over what was there before "
        f"{(peak - before) / MIB:.0f} MiB: {(peak - before) / needed:.2f} of it\n"
        f"all logits at once would take {whole / MIB:.0f} MiB; a step took {seconds:.2f} s"
    )


if __name__ == "__main__":
    main()
