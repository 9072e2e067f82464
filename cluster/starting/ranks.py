"""W ranks of one DeepSpeed group, driven as one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import ray
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from protocol.errors import ResourceError

PLACEMENT_TIMEOUT_S = 60.0


async def place(bundles: Sequence[dict[str, float]], strategy: str, what: str) -> PlacementGroup:
    """Reserve resources for a group of processes.

    Args:
        bundles: Resources of each process, e.g. {"CPU": 1.0}.
        strategy: "PACK" near each other, "SPREAD" over the nodes.
        what: For the error, e.g. "2 rollout actors".

    Raises:
        ResourceError: The cluster has no room for them.
    """
    group = placement_group(list(bundles), strategy=strategy)
    try:
        await asyncio.wait_for(group.ready(), PLACEMENT_TIMEOUT_S)
    except TimeoutError as error:
        remove_placement_group(group)
        raise ResourceError(
            f"no room on the cluster for {what} ({bundles[0]} each): it has "
            f"{ray.available_resources()}; lower the number of processes or add nodes"
        ) from error
    return group


def on_bundle(actor: Any, group: PlacementGroup, index: int, resources: dict[str, float]) -> Any:
    """Return a Ray actor class bound to one bundle of a placement group."""
    return actor.options(
        num_cpus=resources.get("CPU", 0),
        num_gpus=resources.get("GPU", 0),
        scheduling_strategy=PlacementGroupSchedulingStrategy(
            placement_group=group, placement_group_bundle_index=index
        ),
    )


class RankGroup:
    """All ranks of a learner: each call goes to every rank, the answer is rank 0's.

    Args:
        ranks: Ray actor handles, rank 0 first.
    """

    def __init__(self, ranks: Sequence[Any]) -> None:
        self._ranks = ranks

    async def call(self, method: str, *args: object) -> Any:
        """Call a method on all ranks at once; they meet in collectives, so all must be called."""
        answers = await asyncio.gather(
            *(getattr(rank, method).remote(*args) for rank in self._ranks)
        )
        return answers[0]

    async def start(self, *args: object) -> Any:
        """Join the ranks in one process group and load their models; return rank 0's answer."""
        host, port = await self._ranks[0].address.remote()
        return await self.call("start", host, port, *args)

    def end(self, group: PlacementGroup) -> None:
        """End the ranks' processes and give their places back."""
        for rank in self._ranks:
            ray.kill(rank)
        remove_placement_group(group)
