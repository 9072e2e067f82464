"""`python -m tests.support.late_node`: parts of a run on a Ray cluster that lacks what they need.

They are placed by a resource that no node has, "late"; a node with it is added once people are
shown that it is waited for. Prints what they are shown, and last of all what is said of a resource
that never comes.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

OBJECT_STORE_BYTES = 100 * 2**20
TOLD = "told: "
"""Before each line that is for the test."""
PART = {"CPU": 0.5, "late": 1.0}


def main() -> None:
    """Start the cluster, and have a run's parts wait there."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 2,
            "object_store_memory": OBJECT_STORE_BYTES,
            "include_dashboard": False,
            "dashboard_agent_listen_port": 0,
        },
    )
    try:
        asyncio.run(wait_on(cluster))
    finally:
        cluster.shutdown()


async def wait_on(cluster: Any) -> None:
    """Have parts wait on a cluster."""
    from cluster.starting.environment import prepare_environment

    prepare_environment(cluster.address)

    from ray import serve

    from cluster.cluster_config import ClusterConfig
    from cluster.starting.ranks import place
    from cluster.starting.session import RaySession
    from protocol.errors import ResourceError

    class Sayer:
        def __call__(self, request: object) -> str:
            return "here"

    options = {"num_cpus": 0.5, "resources": {"late": 1.0}}
    deployment: Any = serve.deployment(ray_actor_options=options)(Sayer)
    all_wait = asyncio.Event()

    def show(words: str) -> None:
        say(words or "all placed")
        if "ranks" in words and "replicas" in words:
            all_wait.set()

    async def add_node() -> None:
        await all_wait.wait()
        say("a node comes")
        # In this thread, as Ray wants it: the parts wait meanwhile.
        cluster.add_node(num_cpus=2, object_store_memory=OBJECT_STORE_BYTES, resources={"late": 3})

    config = ClusterConfig(address=cluster.address, http_port=0)
    with RaySession(config, "late-1", 1) as session:
        session.nodes.show_by(show)
        await place([{"CPU": 0.5}], "PACK", "1 rollout actors", session.nodes)
        async with asyncio.TaskGroup() as group:
            group.create_task(add_node())
            group.create_task(place([PART] * 2, "PACK", "2 learner ranks", session.nodes))
            group.create_task(session.deploy(deployment.bind, "reward"))
    short = ClusterConfig(address=cluster.address, http_port=0, wait_for_nodes_s=1.0)
    with RaySession(short, "late-1", 1) as session:
        try:
            await place([{"CPU": 0.5, "never": 1.0}], "PACK", "1 rollout actors", session.nodes)
        except ResourceError as error:
            say(str(error))


def say(line: str) -> None:
    """Tell the test; Ray's processes write there, too."""
    sys.stdout.write(f"{TOLD}{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
