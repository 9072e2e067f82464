"""One rank whose engines rest between steps, beside engines that do not.

    python -m tests.support.resting_ranks RANK WORLD_SIZE PORT MODEL OUT ENGINE...

Engines are called as in `learner_inputs.named_engine`; one layer of each is trained by nobody.
Writes OUT/ENGINE.json: digests of the state before and after a rest, and after two steps more, of
one that rested and of one that did not; bytes that CUDA's allocator had given out at work and at
rest, both 0 on the CPU.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from learners.engine import Engine, join_ranks, leave_ranks
from tests.support import learner_inputs as inputs
from tests.support.learner_ranks import HOST

WIDTH = 1024


class Layers(nn.Module):
    """Two layers in training, and one that is not."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Linear(WIDTH, WIDTH, bias=False).requires_grad_(False)
        self.first, self.last = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return a sum over all rows."""
        result: Tensor = self.last(torch.tanh(self.first(self.frozen(x)))).float().sum()
        return result


def main(rank: int, world_size: int, port: int, out: Path, engines: list[str]) -> None:
    torch.set_num_threads(1)
    join_ranks(rank, world_size, HOST, port)
    for name in engines:
        told = {"rested": trained(world_size, name, rests=True)}
        told["awake"] = trained(world_size, name, rests=False)
        (out / f"{name}.json").write_text(json.dumps(told), encoding="utf-8")
    leave_ranks()


def trained(world_size: int, name: str, *, rests: bool) -> dict[str, object]:
    torch.manual_seed(5)
    config = inputs.named_engine(world_size, name)
    engine = Engine(Layers(), config, ["frozen.weight"], average_decay=0.75)
    take_step(engine, 0)
    before, at_work, at_rest = state_of(engine), allocated(), 0
    if rests:
        for _ in range(2):
            engine.rest()
            at_rest = allocated()
            engine.wake()
    after = state_of(engine)
    take_step(engine, 1)
    take_step(engine, 2)
    end = state_of(engine)
    if rests:
        engine.rest()  # a run may end so
    engine.close()
    return {
        "before": before,
        "after": after,
        "end": end,
        "at_work": at_work,
        "at_rest": at_rest,
    }


def take_step(engine: Engine, number: int) -> None:
    generator = torch.Generator().manual_seed(number)
    dtype = next(engine.module.parameters()).dtype
    for count in (1, 2):
        x = torch.randn(3, WIDTH, generator=generator).to(engine.device, dtype)
        engine.backward(engine(x) / 6, is_last=count == 2)
    engine.step(1e-3)
    engine.update_average()


def state_of(engine: Engine) -> str:
    """Return a digest of all that a step moves, and of the layer that none does."""
    state = {name: x for name, x in engine.snapshot().items() if not name.startswith("random/")}
    frozen = engine.module.frozen.weight.detach().cpu().clone()
    return hashlib.sha256(save({**state, "frozen": frozen})).hexdigest()


def allocated() -> int:
    return torch.cuda.memory_allocated() if torch.cuda.is_available() else 0


if __name__ == "__main__":
    rank, world_size, port, _, out, *engines = sys.argv[1:]
    main(int(rank), int(world_size), int(port), Path(out), engines)
