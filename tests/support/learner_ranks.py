"""One rank that runs the three learners under several ZeRO stages and writes what came out.

    python -m tests.support.learner_ranks RANK WORLD_SIZE PORT MODEL OUT STAGE...

Rank 0 writes OUT/{ppo,reward,supervised}-STAGE.safetensors, and the figures as .json beside them.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

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

HOST = "127.0.0.1"


def run_ranks(
    world_size: int,
    model: Path,
    out: Path,
    stages: tuple[int, ...],
    module: str = "tests.support.learner_ranks",
) -> None:
    """Run all ranks as processes and wait; a failure raises with the rank's own words."""
    port = free_port(HOST)
    ranks = [
        subprocess.Popen(
            [
                sys.executable,
                *("-m", module),
                *map(str, (rank, world_size, port, model, out, *stages)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(world_size)
    ]
    try:
        for rank in ranks:
            words, _ = rank.communicate(timeout=240)
            assert rank.returncode == 0, words
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()


def main(rank: int, world_size: int, port: int, model: Path, out: Path, stages: list[int]) -> None:
    torch.set_num_threads(1)
    join_ranks(rank, world_size, HOST, port)
    for stage in stages:
        run_ppo(rank, world_size, model, out, stage)
        run_reward(rank, world_size, model, out, stage)
        run_supervised(rank, world_size, model, out, stage)
    leave_ranks()


def run_ppo(rank: int, world_size: int, model: Path, out: Path, stage: int) -> None:
    learner = PPOLearner(
        policy=PolicyConfig(path=str(model)),
        ppo=inputs.PPO,
        kl=inputs.KL,
        learner=inputs.engine_config(world_size, stage),
        checkpoint_root=out / f"policy-{stage}",
        total_episodes=inputs.TOTAL_EPISODES,
        probe_token_ids=inputs.PROBE,
        publisher=SharedMemoryPublisher(out / f"weights-{stage}") if rank == 0 else None,
        seed=inputs.SEED,
    )
    reports = [learner.step(inputs.experience_batch(step)) for step in range(2)]
    if rank == 0:
        last = reports[-1]
        assert last is not None
        shutil.copy(weights_path(last.policy), out / f"ppo-{stage}.safetensors")
        figures = [report.metrics for report in reports if report is not None]
        probe = list(last.policy.probe.logprobs)
        _write(out / f"ppo-{stage}.json", {"metrics": figures, "probe": probe})
    learner.close()


def run_reward(rank: int, world_size: int, model: Path, out: Path, stage: int) -> None:
    trainer = RewardTrainer(
        policy_path=model,
        model=inputs.REWARD_MODEL,
        fit=inputs.REWARD_FIT,
        deepspeed=inputs.engine_config(world_size, stage),
        root=out / f"reward-{stage}",
        reference_sequences=inputs.reference_sequences(),
        clock=lambda: 0.0,
    )
    requests = [inputs.fit_request(), inputs.fit_request("warm", count=5, first=11)]
    if stage == 0:
        requests.append(inputs.fit_request())
    versions = [trainer.fit(request) for request in requests]
    if rank == 0:
        for name, version in zip(("reward", "warm", "again"), versions, strict=False):
            assert version is not None
            shutil.copy(
                Path(version.path) / "model.safetensors", out / f"{name}-{stage}.safetensors"
            )
            _write(out / f"{name}-{stage}.json", {"metrics": version.metrics})
    trainer.close()


def run_supervised(rank: int, world_size: int, model: Path, out: Path, stage: int) -> None:
    learner = SupervisedLearner(
        load_causal_model(model), inputs.SUPERVISED, inputs.engine_config(world_size, stage)
    )
    losses = learner.train(inputs.blocks())
    learner.save(out / f"supervised-{stage}", AutoTokenizer.from_pretrained(model))
    if rank == 0:
        folder = out / f"supervised-{stage}"
        assert "lm_head.weight" in load_file(folder / "model.safetensors")
        shutil.copy(folder / "model.safetensors", out / f"supervised-{stage}.safetensors")
        _write(out / f"supervised-{stage}.json", {"metrics": [{"loss": loss} for loss in losses]})
    learner.close()


def _write(path: Path, figures: dict[str, object]) -> None:
    path.write_text(json.dumps(figures), encoding="utf-8")


if __name__ == "__main__":
    rank, world_size, port, model, out, *stages = sys.argv[1:]
    main(int(rank), int(world_size), int(port), Path(model), Path(out), [int(s) for s in stages])
