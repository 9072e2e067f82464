"""One rank that runs the three learners by several engines and writes what came out.

    python -m tests.support.learner_ranks RANK WORLD_SIZE PORT MODEL OUT ENGINE...

Engines are called as in `learner_inputs.named_engine`. Rank 0 writes
OUT/{ppo,averaged,reward,supervised}-ENGINE.safetensors, and the figures as .json beside them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from learners.config import PolicyConfig
from learners.engine import free_port, join_ranks, leave_ranks
from learners.ppo import PPOLearner
from learners.reward_fit import RewardTrainer
from learners.supervised import SupervisedLearner
from learners.weights import SharedMemoryPublisher
from reward_service.pretrained import load_causal_model
from tests.support import learner_inputs as inputs
from tests.support.messages import weights_path
from tests.support.patience import PATIENCE_S

HOST = "127.0.0.1"


def run_ranks(
    world_size: int,
    model: Path,
    out: Path,
    engines: Sequence[str],
    module: str = "tests.support.learner_ranks",
    accelerator: Literal["cpu", "cuda"] = "cpu",
) -> None:
    """Run all ranks as processes and wait; a failure raises with the rank's own words."""
    port = free_port(HOST)
    ranks = [
        subprocess.Popen(
            [
                sys.executable,
                *("-m", module),
                *map(str, (rank, world_size, port, model, out, *engines)),
            ],
            env={**os.environ, "DS_ACCELERATOR": accelerator},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(world_size)
    ]
    try:
        for rank in ranks:
            words, _ = rank.communicate(timeout=PATIENCE_S)
            assert rank.returncode == 0, words
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()


def main(rank: int, world_size: int, port: int, model: Path, out: Path, engines: list[str]) -> None:
    torch.set_num_threads(1)
    join_ranks(rank, world_size, HOST, port)
    for engine in engines:
        run_ppo(rank, world_size, model, out, engine)
        run_reward(rank, world_size, model, out, engine)
        run_supervised(rank, world_size, model, out, engine)
    leave_ranks()


def run_ppo(rank: int, world_size: int, model: Path, out: Path, engine: str) -> None:
    learner = PPOLearner(
        policy=PolicyConfig(path=str(model)),
        ppo=inputs.WITH_TEXT,
        kl=inputs.KL,
        learner=inputs.averaging(inputs.named_engine(world_size, engine)),
        checkpoint_root=out / f"policy-{engine}",
        total_episodes=inputs.TOTAL_EPISODES,
        probe_token_ids=inputs.PROBE,
        publisher=SharedMemoryPublisher(out / f"weights-{engine}") if rank == 0 else None,
        seed=inputs.SEED,
        pretraining=inputs.pretraining(),
    )
    reports = [learner.step(inputs.experience_batch(step)) for step in range(2)]
    learner.save(out / f"saved-{engine}")
    if rank == 0:
        averaged = out / f"saved-{engine}_ema" / "model.safetensors"
        shutil.copy(averaged, out / f"averaged-{engine}.safetensors")
        last = reports[-1]
        assert last is not None
        shutil.copy(weights_path(last.policy), out / f"ppo-{engine}.safetensors")
        figures = [report.metrics for report in reports if report is not None]
        probe = list(last.policy.probe.logprobs)
        _write(out / f"ppo-{engine}.json", {"metrics": figures, "probe": probe})
    learner.close()
    learner.close()  # as a part does that is stopped twice


def run_reward(rank: int, world_size: int, model: Path, out: Path, engine: str) -> None:
    trainer = RewardTrainer(
        policy_path=model,
        model=inputs.REWARD_MODEL,
        fit=inputs.REWARD_FIT,
        deepspeed=inputs.named_engine(world_size, engine),
        root=out / f"reward-{engine}",
        reference_sequences=inputs.reference_sequences(),
        clock=lambda: 0.0,
    )
    requests = [inputs.fit_request(), inputs.fit_request("warm", count=5, first=11)]
    if engine == "0":
        requests.append(inputs.fit_request())
    versions = [trainer.fit(request) for request in requests]
    if rank == 0:
        for name, version in zip(("reward", "warm", "again"), versions, strict=False):
            assert version is not None
            shutil.copy(
                Path(version.path) / "model.safetensors", out / f"{name}-{engine}.safetensors"
            )
            _write(out / f"{name}-{engine}.json", {"metrics": version.metrics})
    trainer.close()


def run_supervised(rank: int, world_size: int, model: Path, out: Path, engine: str) -> None:
    learner = SupervisedLearner(
        load_causal_model(model), inputs.SUPERVISED, inputs.named_engine(world_size, engine)
    )
    losses = learner.train(inputs.blocks())
    learner.save(out / f"supervised-{engine}", AutoTokenizer.from_pretrained(model))
    if rank == 0:
        folder = out / f"supervised-{engine}"
        assert "lm_head.weight" in load_file(folder / "model.safetensors")
        shutil.copy(folder / "model.safetensors", out / f"supervised-{engine}.safetensors")
        _write(out / f"supervised-{engine}.json", {"metrics": [{"loss": loss} for loss in losses]})
    learner.close()


def _write(path: Path, figures: dict[str, object]) -> None:
    path.write_text(json.dumps(figures), encoding="utf-8")


if __name__ == "__main__":
    rank, world_size, port, model, out, *engines = sys.argv[1:]
    main(int(rank), int(world_size), int(port), Path(model), Path(out), engines)
