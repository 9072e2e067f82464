"""One run in a process of its own: `python -m benchmarks.label_efficiency.one TASK ARM N SEED OUT`.

With a task alone it makes the task's base model.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.label_efficiency.arms import EVERY
from benchmarks.label_efficiency.direct import DirectRun
from benchmarks.label_efficiency.training import Run
from benchmarks.label_efficiency.world import make_world
from learners.engine import free_port, join_ranks, leave_ranks

WORLDS = Path(__file__).parents[2] / "runs" / "label-efficiency"


def main(arguments: Sequence[str]) -> None:
    """Run, and write the result; see the module."""
    torch.set_num_threads(1)
    join_ranks(0, 1, "127.0.0.1", free_port("127.0.0.1"))
    try:
        task, *case = arguments
        world = make_world(task, WORLDS)
        if case:
            name, budget, seed, path = case
            arm = EVERY[name]
            with tempfile.TemporaryDirectory() as place:
                folder = Path(place) / "run"
                run = (
                    DirectRun(world, arm, int(seed), folder)
                    if arm.is_direct
                    else Run(world, arm, int(budget), int(seed), folder)
                )
                Path(path).write_text(json.dumps(run.result()))
    finally:
        leave_ranks()


if __name__ == "__main__":
    main(sys.argv[1:])
