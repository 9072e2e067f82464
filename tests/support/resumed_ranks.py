"""One rank whose engines hand on what they keep to other engines.

    python -m tests.support.resumed_ranks RANK WORLD_SIZE PORT MODEL OUT ENGINE...

Engines are called as in `learner_inputs.named_engine`. Writes OUT/ENGINE.json: digests of the state
after each step of one that was never left, and by the number of steps after which another went on
in its place, of that one's after its own.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from torch import Tensor

from learners.config import LearnerConfig
from learners.engine import Engine, join_ranks, leave_ranks
from tests.support import learner_inputs as inputs
from tests.support.learner_ranks import HOST
from tests.support.resting_ranks import Layers, state_of, take_step

HANDED_ON = (2, 5)
NUM_STEPS = 7
"""From the third on, β₂ multiplied so often is another number than β₂ raised to that power."""


def main(rank: int, world_size: int, port: int, out: Path, engines: list[str]) -> None:
    torch.set_num_threads(1)
    join_ranks(rank, world_size, HOST, port)
    for name in engines:
        (out / f"{name}.json").write_text(json.dumps(handed_on(world_size, name)), encoding="utf-8")
    leave_ranks()


def handed_on(world_size: int, name: str) -> dict[str, object]:
    config = inputs.named_engine(world_size, name)
    first = made(config)
    kept: dict[int, dict[str, Tensor]] = {}
    through: list[str] = []
    for number in range(NUM_STEPS):
        if number in HANDED_ON:
            kept[number] = first.snapshot()
        take_step(first, number)
        through.append(state_of(first))
    first.close()
    resumed: dict[int, list[str]] = {}
    for count, state in kept.items():
        other = made(config)
        other.restore(state)
        resumed[count] = []
        for number in range(count, NUM_STEPS):
            take_step(other, number)
            resumed[count].append(state_of(other))
        other.close()
    return {"through": through, "resumed": resumed}


def made(config: LearnerConfig) -> Engine:
    torch.manual_seed(5)
    return Engine(Layers(), config, ["frozen.weight"], average_decay=0.75)


if __name__ == "__main__":
    rank, world_size, port, _, out, *engines = sys.argv[1:]
    main(int(rank), int(world_size), int(port), Path(out), engines)
