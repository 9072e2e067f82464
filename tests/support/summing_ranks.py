"""One rank whose engines add up one large gradient and many small ones, and take a step of Adam.

    python -m tests.support.summing_ranks RANK WORLD_SIZE PORT MODEL OUT ENGINE...

Engines are called as in `learner_inputs.named_engine`. Rank 0 writes OUT/ENGINE.json: the norm of
the sum, and how far each of the weights went at the first step.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from learners.engine import Engine, join_ranks, leave_ranks
from tests.support import learner_inputs as inputs
from tests.support.learner_ranks import HOST

SHARES = (0.5, *([2.0**-10] * 64))
"""What the passes' losses are multiplied by; beside the first, bfloat16 loses each of the rest."""
LR = 2.0**-6


def main(rank: int, world_size: int, port: int, out: Path, engines: list[str]) -> None:
    torch.set_num_threads(1)
    join_ranks(rank, world_size, HOST, port)
    for name in engines:
        told = summed(name, world_size)
        if rank == 0:
            (out / f"{name}.json").write_text(json.dumps(told), encoding="utf-8")
    leave_ranks()


def summed(name: str, world_size: int) -> dict[str, object]:
    config = inputs.named_engine(world_size, name).model_copy(update={"max_grad_norm": 1e9})
    module = torch.nn.Linear(8, 1)
    torch.nn.init.zeros_(module.weight)
    engine = Engine(module, config)
    dtype = next(module.parameters()).dtype
    row = torch.arange(1, 9, dtype=dtype, device=engine.device)[None]
    for number, share in enumerate(SHARES, start=1):
        loss = engine(row).float().sum() * share / world_size
        engine.backward(loss, is_last=number == len(SHARES))
    norm = engine.step(LR)
    tensors = engine.whole_tensors().taken(dict if engine.rank == 0 else None) or {}
    moved = {name: tensor.float().abs().flatten().tolist() for name, tensor in tensors.items()}
    engine.close()
    return {"norm": norm, "moved": moved.get("weight")}


if __name__ == "__main__":
    rank, world_size, port, _, out, *engines = sys.argv[1:]
    main(int(rank), int(world_size), int(port), Path(out), engines)
