"""`ray job submit` starts a driver on a node of the cluster, which finds the cluster by itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.patience import PATIENCE_S
from tests.support.processes import is_alive
from tests.support.run_process import REPOSITORY, wait_until

pytestmark = pytest.mark.timeout(1300)

NOT_YET = "No available agent to submit job"
"""What the dashboard says before the nodes' agents have told it of themselves."""
SCRIPT = """
import os, sys
from cluster.cluster_config import ClusterConfig
from cluster.starting.environment import cluster_address, prepare_environment
prepare_environment(None)
from cluster.starting.ports import check_ray
from cluster.starting.session import RaySession
check_ray(cluster_address(None))
with RaySession(ClusterConfig(http_port=0), "submitted-1", 1) as session:
    print("joined", cluster_address(None), os.environ["HF_HOME"])
print("left")
"""


@pytest.fixture
def cluster() -> Iterator[tuple[str, str]]:
    """A cluster's address, and its dashboard's."""
    with psutil.Popen(
        [sys.executable, "-m", "tests.support.two_nodes", "dashboard"],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process.stdout.readline().strip(), process.stdout.readline().strip()
        nodes = process.children(recursive=True)
        process.stdin.close()
        process.wait(timeout=PATIENCE_S)
    # The dashboard ends by itself, once it has noticed that the head is gone.
    wait_until(lambda: not any(map(is_alive, nodes)), "the cluster's end", PATIENCE_S)


def test_a_submitted_driver_joins_the_cluster_it_runs_on(
    cluster: tuple[str, str], tmp_path: Path
) -> None:
    address, dashboard = cluster
    (tmp_path / "driver.py").write_text(SCRIPT)
    environment = {"PYTHONPATH": str(REPOSITORY), "HF_HOME": "/runs/.huggingface"}
    command = [
        *(str(Path(sys.executable).parent / "ray"), "job", "submit"),
        *("--address", f"http://{dashboard}", "--working-dir", str(tmp_path)),
        *("--runtime-env-json", json.dumps({"env_vars": environment})),
        *("--", sys.executable, "driver.py"),
    ]
    mine = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    tries: list[subprocess.CompletedProcess[str]] = []

    def was_taken() -> bool:
        tries.append(
            subprocess.run(command, env=mine, capture_output=True, text=True, timeout=PATIENCE_S)
        )
        return NOT_YET not in tries[-1].stderr

    wait_until(was_taken, "an agent that takes jobs", PATIENCE_S)
    done = tries[-1]
    assert done.returncode == 0, done.stdout + done.stderr
    joined = re.search(r"^joined (\S+) (\S+)$", done.stdout, re.MULTILINE)
    assert joined is not None, done.stdout
    assert joined.groups() == (address, "/runs/.huggingface")
    assert re.search(r"^left$", done.stdout, re.MULTILINE)
