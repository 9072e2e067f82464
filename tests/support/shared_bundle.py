"""A Ray of its own with three logical GPUs; tells as JSON which of them the parts of a run got.

    python -m tests.support.shared_bundle

Before them, somebody else takes a third of one GPU: what is free is not alike.
"""

from __future__ import annotations

import asyncio
import json
import sys

import ray

from cluster.config_file import parse_config
from cluster.starting.nodes import ALONE_S, NodeWait
from cluster.starting.ranks import place
from cluster.starting.seats import Seats, reserve_policy


class Placed:
    """A process that was placed."""

    def gpus(self) -> list[int]:
        """Return the GPUs that Ray gave it."""
        return [int(each) for each in ray.get_gpu_ids()]


async def main() -> None:
    ray.init(
        address="local",
        num_cpus=8,
        num_gpus=3,
        include_dashboard=False,
        _node_ip_address="127.0.0.1",
        object_store_memory=80 * 2**20,
        log_to_driver=False,
    )
    nodes = NodeWait(ALONE_S)
    await place([{"GPU": 1 / 3}], "PACK", "somebody else", nodes)
    config = parse_config(
        {
            "people": ["ann"],
            "prompts": {"source": "reviews"},
            "policy": {"path": "model"},
            "run": {"max_policy_lag": 0},
            "learner": {"zero_stage": 2},
            "cluster": {
                "colocation": "turns",
                "gpus_per_actor": 0.2,
                "gpus_per_learner_rank": 0.4,
            },
        },
        "test",
    )

    async def reserve(
        count: int, resources: dict[str, float], strategy: str, what: str
    ) -> ray.util.placement_group.PlacementGroup:
        return await place([resources] * count, strategy, what, nodes)

    learner, actors = await reserve_policy(config, reserve)
    placed = [started(learner, 0), started(actors, 0), started(actors, 1)]
    sys.stdout.write(json.dumps(await asyncio.gather(*(each.gpus.remote() for each in placed))))
    ray.shutdown()


def started(seats: Seats, index: int) -> ray.actor.ActorHandle:
    return ray.remote(Placed).options(**seats.options(index)).remote()


if __name__ == "__main__":
    asyncio.run(main())
