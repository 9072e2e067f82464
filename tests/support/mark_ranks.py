"""One rank that fits a reward with a mark head by several engines and writes what came out.

    python -m tests.support.mark_ranks RANK WORLD_SIZE PORT MODEL OUT ENGINE...

Engines are called as in `learner_inputs.named_engine`. Rank 0 writes OUT/marks-ENGINE.safetensors,
and the figures as .json beside it.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import torch

from learners.engine import join_ranks, leave_ranks
from learners.reward_fit import RewardTrainer
from tests.support import learner_inputs as inputs
from tests.support.learner_ranks import HOST
from tests.support.marked_labels import FIT, WITH_MARKS, marking_request


def main(rank: int, world_size: int, port: int, model: Path, out: Path, engines: list[str]) -> None:
    torch.set_num_threads(1)
    join_ranks(rank, world_size, HOST, port)
    for engine in engines:
        trainer = RewardTrainer(
            policy_path=model,
            model=WITH_MARKS,
            fit=FIT,
            deepspeed=inputs.named_engine(world_size, engine),
            root=out / f"reward-{engine}",
            reference_sequences=inputs.reference_sequences(),
            clock=lambda: 0.0,
        )
        version = trainer.fit(marking_request())
        if rank == 0:
            assert version is not None
            weights = Path(version.path) / "model.safetensors"
            shutil.copy(weights, out / f"marks-{engine}.safetensors")
            (out / f"marks-{engine}.json").write_text(json.dumps(version.metrics))
        trainer.close()
    leave_ranks()


if __name__ == "__main__":
    rank, world_size, port, model, out, *engines = sys.argv[1:]
    main(int(rank), int(world_size), int(port), Path(model), Path(out), engines)
