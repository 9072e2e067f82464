"""A deployment that no node has room for, on real Serve: the wait ends, and says what it lacks."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.support.patience import PATIENCE_S

DEPLOY_TOO_LARGE = """
import asyncio
from ray import serve
from cluster.cluster_config import ClusterConfig
from cluster.starting import session as module
from protocol.errors import DeploymentFailed

@serve.deployment(ray_actor_options={"num_cpus": 1000})
class TooLarge:
    pass

with module.RaySession(ClusterConfig(wait_for_nodes_s=2.0), "no-room", 1) as session:
    try:
        asyncio.run(session.deploy(TooLarge.bind, "large"))
    except DeploymentFailed as error:
        print("refused:", error)
"""


def test_serve_says_that_there_is_no_room_in_the_words_that_are_looked_for() -> None:
    # Serve's own half minute before it says so.
    environment = {**os.environ, "RAY_SERVE_SLOW_STARTUP_WARNING_S": "1"}
    # A process of its own: Ray leaves variables and unended children in the one that starts it.
    ran = subprocess.run(
        [sys.executable, "-c", DEPLOY_TOO_LARGE],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    refusals = [line for line in ran.stdout.splitlines() if line.startswith("refused: ")]
    assert ran.returncode == 0, ran.stderr
    assert len(refusals) == 1
    assert "no-room-large waited for room on the cluster" in refusals[0]
    assert "1000" in refusals[0]
    assert "available: " in refusals[0]
