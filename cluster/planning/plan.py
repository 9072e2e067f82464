"""The plan of a run: which process takes what, where it lies, and what has no room there."""

from __future__ import annotations

from dataclasses import dataclass

from cluster.config import RunConfig
from cluster.longest import longest_prompt
from cluster.planning import problems
from cluster.planning.disk import on_disk
from cluster.planning.machine import Device, Machine, placed
from cluster.planning.models import MetaModels
from cluster.planning.needs import OnDisk, Process
from cluster.planning.problems import Problem
from cluster.planning.serving import (
    longest_read,
    reward_replicas,
    rollout_actors,
    sequence_bytes,
    small_processes,
)
from cluster.planning.trained import learner_ranks, reward_trainer_ranks
from cluster.planning.transport import shared_copies


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All processes of a run on one machine."""

    machine: Machine
    processes: tuple[Process, ...]
    devices: tuple[Device, ...]
    disk: tuple[OnDisk, ...]
    problems: tuple[Problem, ...]
    weights: int
    """Weights of ρ."""
    adapters: int
    """Weights of the policy's adapters; 0: all weights are trained."""
    prompt_tokens: int
    """Tokens of the longest prompt that was counted with."""

    @property
    def fits(self) -> bool:
        """Whether there is room for everything."""
        return not self.problems

    @property
    def host_bytes(self) -> int:
        """Memory of the host that all processes take, shared memory among it."""
        return sum(each.of_host for each in self.processes)


def make_plan(run: RunConfig, models: MetaModels, machine: Machine) -> Plan:
    """Count what a run takes of a machine.

    Args:
        run: The resolved config.
        models: Of the run's ρ.
        machine: Where it is to run.
    """
    model_tokens = longest_read(run, models)
    prompt_tokens = longest_prompt(run.prompts, run.response, model_tokens)
    actors = rollout_actors(run, models, machine.gpu_bytes, model_tokens)
    processes = (
        *learner_ranks(run, models, prompt_tokens),
        *reward_trainer_ranks(run, models, prompt_tokens),
        *actors,
        *reward_replicas(run, models, prompt_tokens + run.response.max_tokens),
        *small_processes(run),
    )
    devices, left_over = placed(processes, machine.num_gpus)
    disk = on_disk(run, models)
    needed = sequence_bytes(run, models, model_tokens)
    return Plan(
        machine=machine,
        processes=processes,
        devices=tuple(devices),
        disk=disk,
        problems=(
            *problems.unplaced(left_over, machine),
            *problems.crowded(devices, machine),
            *problems.cache_too_small(run, actors, needed, model_tokens),
            *problems.store_too_small(run, shared_copies(run, models)),
            *problems.host_too_small(sum(each.of_host for each in processes), machine),
            *problems.disk_too_small(disk, machine),
        ),
        weights=models.language_model.total,
        adapters=0 if run.policy_lora is None else models.adapters(run.policy_lora).total,
        prompt_tokens=prompt_tokens,
    )
