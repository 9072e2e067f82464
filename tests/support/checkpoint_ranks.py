"""One rank that trains, goes back, and repeats what it did, by several engines.

    python -m tests.support.checkpoint_ranks RANK WORLD_SIZE PORT MODEL OUT ENGINE...

Engines are called as in `learner_inputs.named_engine`. Rank 0 writes OUT/ENGINE.json: of each step
the metrics, and the digests of the published weights and of the average of the versions.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save

from learners import losses, ppo
from learners.config import CheckpointConfig, PolicyConfig
from learners.engine import join_ranks, leave_ranks
from learners.ppo import PPOLearner
from learners.weights import SharedMemoryPublisher
from protocol.errors import BundleCorrupt, NotFinite
from protocol.messages import ExperienceBatch, ScoredRollout
from tests.support import learner_inputs as inputs
from tests.support.learner_ranks import HOST
from tests.support.present import digest_of

ON_TEXT = ("0", "2")
"""Engines that train on text beside PPO: which blocks a step takes is the same with all, and ranks
meet twice as often for it."""


def main(rank: int, world_size: int, port: int, model: Path, out: Path, engines: list[str]) -> None:
    torch.set_num_threads(1)
    join_ranks(rank, world_size, HOST, port)
    for engine in engines:
        config = inputs.named_engine(world_size, engine)
        learner = PPOLearner(
            policy=PolicyConfig(path=str(model)),
            ppo=(inputs.WITH_TEXT if engine in ON_TEXT else inputs.PPO).model_copy(
                update={"epochs": 1}
            ),
            kl=inputs.KL,
            learner=inputs.averaging(config).model_copy(
                update={"checkpoint": CheckpointConfig(every_steps=2)}
            ),
            checkpoint_root=out / f"policy-{engine}",
            total_episodes=inputs.TOTAL_EPISODES,
            probe_token_ids=inputs.PROBE,
            publisher=SharedMemoryPublisher(out / f"weights-{engine}") if rank == 0 else None,
            seed=inputs.SEED,
            pretraining=inputs.pretraining() if engine in ON_TEXT else None,
        )
        told = train(learner, rank, out / f"policy-{engine}")
        if rank == 0:
            (out / f"{engine}.json").write_text(json.dumps(told), encoding="utf-8")
        learner.close()
    leave_ranks()


def train(learner: PPOLearner, rank: int, folder: Path) -> dict[str, object]:
    """Steps 0-3; back to version 2 and steps 2-3 again; back to ρ and step 0 again."""
    first = [taken(learner, inputs.experience_batch(step)) for step in range(4)]
    policy = learner.restore(2)
    again = [taken(learner, moved(inputs.experience_batch(step), by=3)) for step in (2, 3)]
    learner.restore(0)
    reports = [*first, *again, taken(learner, moved(inputs.experience_batch(0), by=8))]
    learner.restore(2)
    if rank == 0:  # the last rank's part of version 0 is hurt: no rank may go on
        hurt = sorted((folder / "v000000").glob("rank-*"))[-1]
        *whole, last = hurt.read_bytes()
        hurt.write_bytes(bytes([*whole, last ^ 1]))
    torch.distributed.barrier()
    refusal = ""
    try:
        learner.restore(0)
    except BundleCorrupt as error:
        refusal = str(error)
    after = taken(learner, moved(inputs.experience_batch(2), by=8))
    broken = break_off(learner, moved(inputs.experience_batch(3), by=8), rank)
    learner.restore(2)
    mended = taken(learner, moved(inputs.experience_batch(2), by=10))
    return {
        "versions": learner.checkpoints(),
        "restored": policy and [policy.version, policy.restored_from, policy.episodes],
        "steps": [*reports, after, mended],
        "broken": broken,
        "refusal": refusal,
    }


def break_off(learner: PPOLearner, batch: ExperienceBatch, rank: int) -> str:
    """Give the last rank alone a NaN, in the second minibatch; return what this rank says of it."""
    is_last = rank == torch.distributed.get_world_size() - 1
    true_loss, num_calls = losses.value_loss, 0

    def spoiled(*args: torch.Tensor) -> torch.Tensor:
        nonlocal num_calls
        num_calls += 1
        per_minibatch = 16 // 2 // torch.distributed.get_world_size()
        passes = -(-per_minibatch // 3)
        return true_loss(*args) * (torch.nan if is_last and num_calls == passes + 1 else 1.0)  # type: ignore[arg-type]

    ppo.value_loss = spoiled  # type: ignore[attr-defined, assignment]
    try:
        learner.step(batch)
    except NotFinite as error:
        return str(error)
    finally:
        ppo.value_loss = true_loss  # type: ignore[attr-defined]
    return ""


def moved(batch: ExperienceBatch, by: int) -> ExperienceBatch:
    """The same batch for a step `by` later, its rollouts of versions as much later."""
    rollouts = tuple(_moved(scored, by) for scored in batch.rollouts)
    return replace(batch, step=batch.step + by, rollouts=rollouts)


def _moved(scored: ScoredRollout, by: int) -> ScoredRollout:
    versions = tuple(version + by for version in scored.rollout.policy_versions)
    return replace(scored, rollout=replace(scored.rollout, policy_versions=versions))


def taken(learner: PPOLearner, batch: ExperienceBatch) -> dict[str, object] | None:
    """Take a step; return on rank 0 what came of it, but for its number."""
    report = learner.step(batch)
    with learner._weights.averaged() as averaged:
        assert averaged is not None
        whole = averaged.taken(None if report is None else dict)
    if report is None or whole is None:
        return None
    metrics = {name: x for name, x in report.metrics.items() if name != "policy/version"}
    return {
        "metrics": metrics,
        "sha256": digest_of(report.policy.weights),
        "averaged_sha256": hashlib.sha256(save(whole)).hexdigest(),
    }


if __name__ == "__main__":
    rank, world_size, port, model, out, *engines = sys.argv[1:]
    main(int(rank), int(world_size), int(port), Path(model), Path(out), engines)
