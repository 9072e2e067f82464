"""One rank that trains adapters by several engines, of the policy and of the reward model.

    python -m tests.support.lora_ranks RANK WORLD_SIZE PORT MODEL OUT ENGINE...

Engines are called as in `learner_inputs.named_engine`. Rank 0 writes OUT/ENGINE.json: what was
announced of each step and each fit; and OUT/{ppo,update,reward,warm}-ENGINE.safetensors, with
OUT/heads-{update,reward,warm}-ENGINE.safetensors of fits of heads on a trunk that stays.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import torch

from learners.config import PolicyConfig
from learners.engine import join_ranks, leave_ranks
from learners.ppo import PPOLearner
from learners.reward_fit import RewardTrainer
from learners.weights import SharedMemoryPublisher
from protocol.fits import RewardVersion
from protocol.messages import StepReport
from reward_service.config import LoRAConfig, RewardModelConfig
from reward_service.retention import newest_bundle
from tests.support import learner_inputs as inputs
from tests.support.learner_ranks import HOST
from tests.support.messages import weights_path
from tests.support.present import digest_of

LORA = LoRAConfig(rank=4, alpha=8.0)
PPO = inputs.PPO.model_copy(update={"lr": 1e-2, "epochs": 1, "critic": "separate"})
"""With adapters of a policy and of a critic on the same weights."""
ADAPTERS = inputs.REWARD_MODEL.model_copy(update={"lora": LORA})
HEADS = inputs.REWARD_MODEL.model_copy(update={"frozen_trunk": True, "layers": 1})
REWARD_FIT = inputs.REWARD_FIT.model_copy(update={"lr": 1e-2, "warm_lr": 5e-3})


def main(rank: int, world_size: int, port: int, model: Path, out: Path, engines: list[str]) -> None:
    torch.set_num_threads(1)
    join_ranks(rank, world_size, HOST, port)
    for engine in engines:
        told = {
            "ppo": run_ppo(rank, world_size, model, out, engine),
            "reward": run_reward(rank, world_size, model, out, engine, ADAPTERS),
            "heads": run_reward(rank, world_size, model, out, engine, HEADS, "heads-"),
        }
        if rank == 0:
            (out / f"{engine}.json").write_text(json.dumps(told), encoding="utf-8")
    leave_ranks()


def run_ppo(rank: int, world_size: int, model: Path, out: Path, engine: str) -> list[object]:
    """Steps 0-1; back to version 1 and step 1 again; another learner goes on from 1."""

    def learner() -> PPOLearner:
        return PPOLearner(
            policy=PolicyConfig(path=str(model), lora=LORA),
            ppo=PPO,
            kl=inputs.KL,
            learner=inputs.named_engine(world_size, engine).model_copy(
                update={"gradient_checkpointing": True}
            ),
            checkpoint_root=out / f"policy-{engine}",
            total_episodes=inputs.TOTAL_EPISODES,
            probe_token_ids=inputs.PROBE,
            publisher=SharedMemoryPublisher(out / f"weights-{engine}") if rank == 0 else None,
            seed=inputs.SEED,
        )

    first = learner()
    reports = [first.step(inputs.experience_batch(0))]
    first.keep()
    reports.append(first.step(inputs.experience_batch(1)))
    first.save(out / f"saved-{engine}")
    if rank == 0:
        assert reports[-1] is not None
        shutil.copy(weights_path(reports[-1].policy), out / f"ppo-{engine}.safetensors")
    told: list[object] = [told_of(each) for each in reports]
    first.close()
    second = learner()
    second.resume(1)
    told.append(told_of(second.step(inputs.experience_batch(1))))
    second.close()
    return told


def told_of(report: StepReport | None) -> dict[str, object] | None:
    if report is None:
        return None
    return {
        "metrics": report.metrics,
        "sha256": digest_of(report.policy.weights),
        "probe": list(report.policy.probe.logprobs),
    }


def run_reward(
    rank: int,
    world_size: int,
    model: Path,
    out: Path,
    engine: str,
    reward_model: RewardModelConfig,
    kind: str = "",
) -> list[object]:
    """A refit; a step of another, an update beside it, its end; and an update by a new trainer."""

    def trainer(root: Path) -> RewardTrainer:
        return RewardTrainer(
            policy_path=model,
            model=reward_model,
            fit=REWARD_FIT,
            deepspeed=inputs.named_engine(world_size, engine),
            root=root,
            reference_sequences=inputs.reference_sequences(),
            clock=lambda: 0.0,
            keeps_state=True,
            resume_from=newest_bundle(root),
        )

    root = out / f"{kind}reward-{engine}"
    first = trainer(root)
    refit, update = inputs.fit_request(), inputs.fit_request("warm", count=5, first=11)
    later = inputs.fit_request("warm", count=4, first=16)
    made = [first.fit(inputs.fit_request(count=6))]
    first.advance(1, refit)
    made += [first.fit(update), first.fit(refit)]
    torch.distributed.barrier()
    second = trainer(root)
    if rank == 0:
        shutil.copytree(root, out / f"{kind}kept-{engine}")
    torch.distributed.barrier()
    made.append(first.fit(later))
    first.close()
    second.close()
    third = trainer(out / f"{kind}kept-{engine}")
    made.append(third.fit(later))
    third.close()
    for name, version in zip(("update", "reward", "warm"), made[1:], strict=False):
        if version is not None:
            weights = Path(version.path) / "model.safetensors"
            shutil.copy(weights, out / f"{kind}{name}-{engine}.safetensors")
    return [told_of_fit(version) for version in made]


def told_of_fit(version: RewardVersion | None) -> dict[str, object] | None:
    if version is None:
        return None
    return {"sha256": version.sha256, "metrics": version.metrics}


if __name__ == "__main__":
    rank, world_size, port, model, out, *engines = sys.argv[1:]
    main(int(rank), int(world_size), int(port), Path(model), Path(out), engines)
