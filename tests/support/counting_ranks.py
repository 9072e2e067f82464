"""One rank that counts what DeepSpeed's engines hold: all tensors, by PyTorch's own dispatch.

    python -m tests.support.counting_ranks RANK WORLD_SIZE PORT MODEL OUT ENGINE...

Engines are called as in `learner_inputs.named_engine`; of "frozen-2" and its like one of the wide
layers is not trained. Rank 0 writes OUT/ENGINE.json: bytes held
between two steps, and the most in a step after the first, of a module whose passes hold little.

Where another process has the core, a thread of gloo holds a bucket that it has sent a moment longer
than whoever waited for it, and two are there at once. So of some steps the least counts.
"""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from cluster.planning.live_bytes import LiveBytes
from learners.engine import Engine, join_ranks, leave_ranks
from tests.support import learner_inputs as inputs
from tests.support.learner_ranks import HOST

WIDTH, LAYERS, WIDE = 256, 8, 8
NUM_WEIGHTS = LAYERS * WIDTH * WIDTH + 2 * WIDTH * WIDTH * WIDE
LARGEST = WIDTH * WIDTH * WIDE
NUM_PASSES = 2
NUM_STEPS = 4
FROZEN = "frozen-"


class Layers(nn.Module):
    """Narrow layers and two wide ones, as a model's embeddings are."""

    def __init__(self) -> None:
        super().__init__()
        self.narrow = nn.ModuleList(nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(LAYERS))
        self.up = nn.Linear(WIDTH, WIDTH * WIDE, bias=False)
        self.down = nn.Linear(WIDTH * WIDE, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return a sum of all."""
        for each in self.narrow:
            x = each(x)
        result: Tensor = self.down(self.up(x)).float().sum()
        return result


def main(rank: int, world_size: int, port: int, out: Path, engines: list[str]) -> None:
    torch.set_num_threads(1)
    join_ranks(rank, world_size, HOST, port)
    for name in engines:
        told = counted(name, world_size)
        if rank == 0:
            (out / f"{name}.json").write_text(json.dumps(told), encoding="utf-8")
    leave_ranks()


def counted(name: str, world_size: int) -> dict[str, int]:
    module = Layers()
    live = LiveBytes("cpu")
    with live:
        for each in module.parameters():
            each.data = each.data.clone()  # so that they are seen
        constant = ["up.weight"] if name.startswith(FROZEN) else []
        module.up.requires_grad_(not constant)
        config = inputs.named_engine(world_size, name.removeprefix(FROZEN))
        engine = Engine(module, config, constant)
        x = torch.ones(1, WIDTH, dtype=next(module.parameters()).dtype)
        held, peaks = 0, []
        for _ in range(NUM_STEPS):
            gc.collect()
            held = live.peak = live.held
            for number in range(1, NUM_PASSES + 1):
                engine.backward(engine(x) / 1e6, is_last=number == NUM_PASSES)
            engine.step(1e-4)
            peaks.append(live.peak)
        engine.close()
    del engine, module
    gc.collect()
    return {"held": held, "peak": min(peaks[1:])}


if __name__ == "__main__":
    rank, world_size, port, _, out, *engines = sys.argv[1:]
    main(int(rank), int(world_size), int(port), Path(out), engines)
