"""`python -m tests.support.two_nodes`: a Ray cluster of two nodes on this machine.

Prints its address, adds a node for each line it reads, and ends all of it once its standard input
is closed.
"""

from __future__ import annotations

import sys

CPUS_PER_NODE = 5
"""Neither node has room for all parts of a run."""


def main() -> None:
    """Start the nodes, say where, and wait."""
    from ray.cluster_utils import Cluster

    node = {
        "num_cpus": CPUS_PER_NODE,
        "object_store_memory": 100 * 2**20,
        "include_dashboard": False,
    }
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        cluster.add_node(**node)
        cluster.wait_for_nodes()
        sys.stdout.write(f"{cluster.address}\n")
        sys.stdout.flush()
        for _ in sys.stdin:
            cluster.add_node(**node)
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
