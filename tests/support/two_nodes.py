"""`python -m tests.support.two_nodes`: a Ray cluster of two nodes on this machine.

Prints its address, adds a node for each line it reads, and ends all of it once its standard input
is closed. With "dashboard" it has one, to which jobs are submitted, and a second line says where.

With "workers" the head is a third node, and has no room for any part; with "later" it is alone at
first, and has none either. With "apart" the nodes that
are added share nothing with each other, nor with the head: each has a folder for temporary files
and a shared memory of its own, in a mount namespace.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil

from tests.support.patience import PATIENCE_S
from tests.support.processes import is_alive
from tests.support.run_process import REPOSITORY, wait_until

CPUS_PER_NODE = 5
"""Neither node has room for all parts of a run."""
OBJECT_STORE_BYTES = 100 * 2**20
HIDDEN = ("/tmp", "/dev/shm", tempfile.gettempdir())
"""Where a node that is apart has nothing of this machine's."""
UNSHARED = ("unshare", "--mount", "--propagation", "private")
AS_ROOT = () if os.geteuid() == 0 else ("--user", "--map-root-user")


def can_be_apart() -> bool:
    """Whether this user may have a mount namespace here."""
    if shutil.which("unshare") is None:
        return False
    mounted = [*UNSHARED, *AS_ROOT, "mount", "-t", "tmpfs", "tmpfs", "/tmp"]
    return subprocess.run(mounted, capture_output=True, check=False).returncode == 0


@contextmanager
def two_nodes_started(*words: str) -> Iterator[tuple[str, psutil.Popen]]:
    """Start this program; yield the cluster's address and the process, and end all of it.

    Args:
        words: On its command line.
    """
    with psutil.Popen(
        [sys.executable, "-m", "tests.support.two_nodes", *words],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process.stdout.readline().strip(), process
        nodes = process.children(recursive=True)
        process.stdin.close()
        process.wait(timeout=PATIENCE_S)
    assert [node for node in nodes if is_alive(node)] == []


def add_apart(cluster: Any) -> subprocess.Popen[bytes]:
    """Start a node in a mount namespace of its own; return the process that ends it."""
    hidden = " && ".join(f"mount -t tmpfs tmpfs {folder}" for folder in dict.fromkeys(HIDDEN))
    joined = [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", f"--address={cluster.address}"),
        f"--node-ip-address={cluster.head_node.node_ip_address}",
        f"--num-cpus={CPUS_PER_NODE}",
        f"--object-store-memory={OBJECT_STORE_BYTES}",
        # Two nodes of one machine would give their workers the same ports.
        *("--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0"),
        *("--block", "--disable-usage-stats"),
    ]
    script = f'{hidden} && exec "$@"'
    return subprocess.Popen(
        [*UNSHARED, *AS_ROOT, "sh", "-c", script, "sh", *joined],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
    )


def main(words: list[str]) -> None:
    """Start the nodes, say where, and wait."""
    from ray.cluster_utils import Cluster

    has_dashboard, has_workers, is_alone, is_apart = (
        word in words for word in ("dashboard", "workers", "later", "apart")
    )
    node = {
        "num_cpus": CPUS_PER_NODE,
        "object_store_memory": OBJECT_STORE_BYTES,
        "include_dashboard": False,
    }
    # Without one of its own, an agent that finds Ray's usual port taken answers no submitted job.
    agent = {"dashboard_agent_listen_port": 0}
    head = {**node, **agent, "include_dashboard": has_dashboard}
    if has_workers or is_alone:
        head["num_cpus"] = 0
    cluster = Cluster(initialize_head=True, head_node_args=head)
    apart: list[subprocess.Popen[bytes]] = []

    def add() -> None:
        if is_apart:
            apart.append(add_apart(cluster))
        else:
            cluster.add_node(**node)

    try:
        count = 2 if has_workers else 0 if is_alone else 1
        for _ in range(count):
            add()
        there = cluster.global_state._live_node_ids
        wait_until(lambda: len(there()) == count + 1, "all nodes", PATIENCE_S)
        sys.stdout.write(f"{cluster.address}\n")
        if has_dashboard:
            sys.stdout.write(f"{cluster.head_node.webui_url}\n")
        sys.stdout.flush()
        for _ in sys.stdin:
            add()
    finally:
        for process in apart:
            process.terminate()
        for process in apart:
            process.wait(timeout=PATIENCE_S)
        cluster.shutdown()


if __name__ == "__main__":
    main(sys.argv[1:])
