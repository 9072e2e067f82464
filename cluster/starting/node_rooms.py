"""Whether a cluster's nodes have room for what Ray has placed on them, before it is loaded.

A run that is alone on its machine is planned for it before anything starts (`preflight`). Of a
cluster nobody knows which node takes what, until Ray has said so; nor does Ray tell how large a
node's GPUs are. So each node that takes a part is asked, once, by a task there.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import psutil
import ray
from ray._common.utils import get_system_memory
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.config import WeightTransportName
from cluster.config import RunConfig
from cluster.planning.machine import ASSUMED_GIB, Machine, gib, installed_gpu_sizes
from cluster.planning.needs import Process
from cluster.planning.rooms import Room, lacks
from cluster.starting.policy_source import model_shape
from protocol.errors import ActorDied, ResourceError

SHARED_MEMORY = Path("/dev/shm")
Measure = Callable[[str], Awaitable[Room]]
"""Says what the node of an id has."""


async def measured(node: str) -> Room:
    """Ask a node what it has; blocks for as long as a process takes to start there.

    Raises:
        ActorDied: It is gone, and with it what was placed there.
    """
    there = NodeAffinitySchedulingStrategy(node, soft=False)
    options = {"num_cpus": 0, "scheduling_strategy": there}
    try:
        room: Room = await ray.remote(_measure).options(**options).remote()
    except RayTaskError:  # what was raised there
        raise
    except RayError as error:
        raise ActorDied(f"the node {node[:8]} was gone before it could say what it has") from error
    return room


def _measure() -> Room:
    """Say what this node has. A container has what it may use: Ray knows where that is said."""
    return Room(
        name=os.uname().nodename,
        host_bytes=get_system_memory(),
        shared_bytes=psutil.disk_usage(str(SHARED_MEMORY)).total,
        gpu_bytes=tuple(installed_gpu_sizes()),
    )


class NodeRooms:
    """Who was placed on which node of a cluster.

    Args:
        config: The run's.
        measure: Says what a node has; None: nobody is asked, and nothing refused.
    """

    def __init__(self, config: RunConfig, measure: Measure | None) -> None:
        self._config = config
        self._measure = measure
        self._seated: dict[str, list[Process]] = {}
        """By node."""
        self._uses_shared_memory = False

    async def seat_policy(
        self, ranks: Sequence[str], actors: Sequence[str], transport: WeightTransportName
    ) -> None:
        """Take note of where learner and rollout actors were placed, and see that they fit.

        Args:
            ranks: Ids of the nodes of the learner's ranks in their order; one each, or one for all.
            actors: The same of the actors.
            transport: How weights travel.

        Raises:
            ResourceError: A node has no room for all that is on it; says how much it lacks.
        """
        self._uses_shared_memory = transport == "shared_memory"
        await self._seat({"learner": ranks, "rollout actor": actors})

    async def seat_trainer(self, ranks: Sequence[str]) -> None:
        """Take note of where the reward trainer was placed, and see that it fits beside the others.

        Args:
            ranks: Ids of the nodes of its ranks, in their order.

        Raises:
            ResourceError: As `seat_policy`.
        """
        await self._seat({"reward trainer": ranks})

    async def _seat(self, nodes_of: Mapping[str, Sequence[str]]) -> None:
        if self._measure is None:
            return
        nodes = sorted({node for each in nodes_of.values() for node in each})
        rooms = await asyncio.gather(*map(self._measure, nodes))
        sizes = [size for room in rooms for size in room.gpu_bytes]
        processes = await asyncio.to_thread(
            _processes, self._config, min(sizes, default=gib(ASSUMED_GIB))
        )
        for part, places in nodes_of.items():
            of_part = [each for each in processes if each.part == part]
            each_on = places if len(places) > 1 else [*places] * len(of_part)
            for process, node in zip(of_part, each_on, strict=True):
                self._seated.setdefault(node, []).append(process)
        for node, room in zip(nodes, rooms, strict=True):
            self._check(room, self._seated[node])

    def _check(self, room: Room, processes: Sequence[Process]) -> None:
        for lack in lacks(room, processes, uses_shared_memory=self._uses_shared_memory):
            raise ResourceError(
                f"Ray has placed more on the node {room.name} than it can hold: {lack}. Give the "
                "cluster larger nodes, ask for more CPUs or GPUs for each part so that fewer share "
                "one, or change what `andon plan CONFIG.toml` proposes"
            )


def _processes(config: RunConfig, gpu_bytes: int) -> Sequence[Process]:
    """Return all processes of a run, engines as they are on a GPU of this size. Takes seconds."""
    # Imported where it is asked for: torch and transformers take seconds.
    from cluster.planning.models import MetaModels
    from cluster.planning.plan import make_plan

    machine = Machine(
        num_gpus=None, gpu_bytes=gpu_bytes, host_bytes=None, disk_bytes=None, is_here=False
    )
    models = MetaModels(model_shape(config), follows_passes=False)
    return make_plan(config, models, machine).processes
