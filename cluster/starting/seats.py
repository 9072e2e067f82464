"""What a run's processes are placed with: how many CPUs, bundles of their own, or one device."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from ray.util.placement_group import PlacementGroup, placement_group_table

from cluster.config import RunConfig
from cluster.starting.ranks import on_bundle

Reserve = Callable[[int, dict[str, float], str, str], Coroutine[Any, Any, PlacementGroup]]
"""(how many, resources of each, strategy, what they are for) → a group of so many bundles."""
NUM_SINGLE_PARTS = 4
"""Parts that there is one of: label queue, metrics hub, base model, and Serve's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seats:
    """Places of processes that are alike: a bundle each, or all on the first."""

    group: PlacementGroup
    resources: dict[str, float]
    """What Ray is asked for, for each process."""
    is_shared: bool = False

    def options(self, index: int) -> dict[str, Any]:
        """Return the options that start a process at its place."""
        return on_bundle(self.group, 0 if self.is_shared else index, self.resources)

    @property
    def nodes(self) -> list[str]:
        """Ids of the nodes on which the bundles are, the first one's first."""
        placed: dict[int, str] = placement_group_table(self.group)["bundles_to_node_id"]
        return [placed[index] for index in sorted(placed)]


async def reserve_policy(config: RunConfig, reserve: Reserve) -> tuple[Seats, Seats]:
    """Reserve places for the learner's ranks and for the rollout actors.

    Those that have a GPU in turns, or open its memory to each other, get one bundle, whose share of
    a GPU is of one device; of two bundles nobody could say so.
    """
    cluster = config.cluster
    of_rank = resources_of(config, cluster.gpus_per_learner_rank)
    of_actor = resources_of(config, cluster.gpus_per_actor)
    ranks, actors = config.learner.num_ranks, config.rollouts.num_actors
    if cluster.colocation == "turns" or config.rollouts.weight_transport == "ipc":
        total = {name: ranks * of_rank[name] + actors * of_actor[name] for name in of_rank}
        group = await reserve(1, total, "PACK", "place for learner and rollout actors")
        return (
            Seats(group=group, resources=of_rank, is_shared=True),
            Seats(group=group, resources=of_actor, is_shared=True),
        )
    async with asyncio.TaskGroup() as both:
        group_of_ranks = both.create_task(reserve(ranks, of_rank, "PACK", "learner ranks"))
        group_of_actors = both.create_task(reserve(actors, of_actor, "SPREAD", "rollout actors"))
    return (
        Seats(group=group_of_ranks.result(), resources=of_rank),
        Seats(group=group_of_actors.result(), resources=of_actor),
    )


async def reserve_trainer(config: RunConfig, reserve: Reserve) -> Seats:
    """Reserve places for the reward trainer's ranks."""
    resources = resources_of(config, config.cluster.gpus_per_learner_rank)
    ranks = config.reward_trainer.num_ranks
    group = await reserve(ranks, resources, "PACK", "reward trainer ranks")
    return Seats(group=group, resources=resources)


def resources_of(config: RunConfig, gpus: float) -> dict[str, float]:
    """Return what Ray is asked for a process with so many GPUs."""
    resources = {"CPU": config.cluster.cpus_per_part}
    return {**resources, "GPU": gpus} if gpus else resources


def replica_options(config: RunConfig) -> dict[str, object]:
    """Return what Ray is asked for a reward replica, as options of its actor."""
    gpus = config.cluster.gpus_per_reward_replica
    return {"num_cpus": config.cluster.cpus_per_part, **({"num_gpus": gpus} if gpus else {})}


def num_cpus_wanted(config: RunConfig) -> int:
    """Logical CPUs that all parts of a run are placed with."""
    parts = (
        config.rollouts.num_actors
        + config.learner.num_ranks
        + (config.reward_trainer.num_ranks if config.run.reward is None else 0)
        + config.reward_service.replicas
        + NUM_SINGLE_PARTS
    )
    return math.ceil(parts * config.cluster.cpus_per_part)
