"""A learner's memory on a GPU: the table of docs/results/gpus.md, and what the plan says of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from transformers import GPT2Config

from benchmarks.learner_lengths import PROMPT_TOKENS
from cluster.config import RunConfig
from cluster.planning.models import MetaModels
from cluster.planning.needs import MIB
from cluster.planning.trained import CONTEXT, learner_ranks

RESULTS = Path(__file__).parents[2] / "docs" / "results" / "gpus.md"
HEADING = "| weights | type | `gradient_checkpointing` | needed, MiB | peak, MiB |"
SHAPES = {
    "17 M": {"vocab_size": 131_072, "n_embd": 128, "n_layer": 2, "n_head": 2},
    "355 M": {"vocab_size": 50_257, "n_embd": 1_024, "n_layer": 24, "n_head": 16},
}
ROWS = {"17 M": 1, "355 M": 8}
TOKENS = 1_024


@dataclass(frozen=True)
class Measured:
    weights: str
    dtype: str
    checkpointing: bool
    peak: int

    def arguments(self) -> list[str]:
        """Return those of `benchmarks.learner_memory` that measure it anew."""
        shape = SHAPES[self.weights]
        return [
            *("--vocabulary", str(shape["vocab_size"]), "--width", str(shape["n_embd"])),
            *("--layers", str(shape["n_layer"]), "--rows", str(ROWS[self.weights])),
            *("--tokens", str(TOKENS), "--dtype", self.dtype),
            *(["--gradient-checkpointing"] if self.checkpointing else []),
        ]

    def planned(self) -> int:
        """Return the plan's bytes, but for CUDA's own context, of which PyTorch knows nothing."""
        shape = GPT2Config(
            n_positions=TOKENS + PROMPT_TOKENS,
            activation_function="gelu_pytorch_tanh",
            **SHAPES[self.weights],
        )
        run = RunConfig.model_validate(
            {
                "people": ["ann"],
                "run": {"episodes": 1024},
                "policy": {"path": "model"},
                "prompts": {"source": "reviews", "prompt_tokens": PROMPT_TOKENS},
                "response": {"max_tokens": TOKENS},
                "rollouts": {"requests_per_call": 1},
                "ppo": {"batch_size": ROWS[self.weights], "minibatches": 1},
                "learner": {"dtype": self.dtype, "gradient_checkpointing": self.checkpointing},
                "cluster": {"gpus_per_learner_rank": 1, "gpus_per_actor": 1},
            }
        )
        (rank,) = learner_ranks(run, MetaModels(shape), PROMPT_TOKENS)
        return rank.on_device - CONTEXT


def measured() -> list[Measured]:
    lines = RESULTS.read_text(encoding="utf-8").splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith(HEADING))
    found = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        weights, dtype, checkpointing, _, peak, *_ = (x.strip() for x in line.strip("|").split("|"))
        mib = int(peak.replace(",", ""))
        found.append(Measured(weights, dtype, checkpointing == "yes", mib * MIB))
    return found
