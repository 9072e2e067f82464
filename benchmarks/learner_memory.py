"""Peak memory of a PPO step with a large vocabulary, against what it cannot do without.

    python -m benchmarks.learner_memory [--vocabulary 131072] [--tokens 1024]

A GPT-2 of width 128 and two layers, one response, one rank. Cannot be done without: π's weights,
gradients and both moments, ρ's weights, and what one chunk of logits takes forward and backward:
logits, these by the temperature, their softmax and their gradient. The peak is what the system
counts for a process of its own (`VmHWM`), less what it had before the models were made.
"""

from __future__ import annotations

import argparse
import gc
import random
import tempfile
from pathlib import Path
from typing import Literal

import click
from transformers import GPT2Config, GPT2LMHeadModel

from benchmarks.against_trl.task import write_model
from benchmarks.learner_lengths import PROMPT_TOKENS, lone_learner, make_batch
from learners.config import PPOConfig
from learners.policy_model import CHUNK_LOGITS

MIB = 2**20
COPIES = 4 + 1
"""Copies of the weights: π's own, gradients and two moments; ρ's."""
CHUNK_COPIES = 4
"""Copies of a chunk of logits."""


def held_bytes(what: Literal["VmRSS", "VmHWM"]) -> int:
    """Return the memory that this process holds, or the most it has held at a time."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(what))
    return int(line.split()[1]) * 1024


def main() -> None:
    """Run from the command line; see the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--vocabulary", type=int, default=131_072)
    parser.add_argument("--tokens", type=int, default=1024)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        config = GPT2Config(
            vocab_size=chosen.vocabulary,
            n_positions=chosen.tokens + PROMPT_TOKENS,
            n_embd=128,
            n_layer=2,
            n_head=2,
            activation_function="gelu_pytorch_tanh",
        )
        write_model(root / "model")  # for its tokenizer
        model = GPT2LMHeadModel(config)
        num_weights = sum(each.numel() for each in model.parameters())
        model.save_pretrained(root / "model")
        del model
        gc.collect()
        before = held_bytes("VmRSS")
        ppo = PPOConfig(batch_size=1, minibatches=1, epochs=1, lr=1e-6)
        with lone_learner(root, root / "model", ppo) as learner:
            learner.step(make_batch(0, [chosen.tokens], random.Random(1)))
            peak = held_bytes("VmHWM")
    weights = 4 * num_weights
    chunk = 4 * CHUNK_COPIES * min(CHUNK_LOGITS, chosen.tokens * chosen.vocabulary)
    needed = COPIES * weights + chunk
    whole = 4 * CHUNK_COPIES * chosen.tokens * chosen.vocabulary
    click.echo(
        f"weights {weights / MIB:.0f} MiB, needed {needed / MIB:.0f} MiB, peak over what was there "
        f"before {(peak - before) / MIB:.0f} MiB: {(peak - before) / needed:.2f} of it\n"
        f"all logits at once would take {whole / MIB:.0f} MiB"
    )


if __name__ == "__main__":
    main()
