"""Whether learner and engines have their memory beside each other or in turns, and where they may.

Why turns are taken only so: `docs/adr/0017-turns-on-one-gpu.md`.
"""

from __future__ import annotations

from typing import Literal

from actors.config import RolloutConfig
from learners.config import LearnerConfig

Colocation = Literal["beside", "turns"]


def check_turns(
    rollouts: RolloutConfig,
    learner: LearnerConfig,
    *,
    gpus_per_actor: float,
    gpus_per_learner_rank: float,
    max_policy_lag: int,
) -> None:
    """Raise ValueError where turns are to be taken and there is nothing to take, or no way to."""
    shares = rollouts.num_actors * gpus_per_actor + learner.num_ranks * gpus_per_learner_rank
    transport, split = rollouts.weight_transport, rollouts.tensor_parallel_size
    both = "cluster.gpus_per_actor and cluster.gpus_per_learner_rank"
    refusals = (
        (
            not gpus_per_actor or not gpus_per_learner_rank,
            f"frees memory of a GPU, and a process on the CPU has none: set {both}",
        ),
        (
            learner.num_ranks > 1,
            f"is for one GPU, and learner.num_ranks is {learner.num_ranks}: set it to 1",
        ),
        (
            split > 1,
            f"is for one GPU, and rollouts.tensor_parallel_size is {split}: set it to 1",
        ),
        (
            shares > 1,
            f"is for one GPU, and the actors and the learner ask for {shares:g}: lower {both}",
        ),
        (
            max_policy_lag > 0,
            f"has engines draw for one step at a time, and run.max_policy_lag is {max_policy_lag}: "
            "set it to 0",
        ),
        (
            transport == "ipc",
            "and rollouts.weight_transport 'ipc' do not go together, for its copies of the weights "
            "stay on the GPU: choose 'auto'",
        ),
        (
            transport == "nccl",
            "and rollouts.weight_transport 'nccl' do not go together, for it joins no two "
            "processes of one GPU: choose 'auto'",
        ),
        (
            learner.zero_stage != 2,
            "puts the learner's states on the host, which DeepSpeed does with all of them at one "
            f"stage, and learner.zero_stage is {learner.zero_stage}: set it to 2",
        ),
    )
    for holds, refusal in refusals:
        if holds:
            raise ValueError(
                f"cluster.colocation 'turns' {refusal}, or leave cluster.colocation at 'beside'"
            )
