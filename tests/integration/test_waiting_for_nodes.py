"""Parts that no node has room for, on a real Ray cluster: shown, and waited for until one comes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.late_node import TOLD
from tests.support.patience import PATIENCE_S
from tests.support.run_process import REPOSITORY, RunProcess, andon
from tests.support.two_nodes import two_nodes_started

pytestmark = pytest.mark.timeout(1800)


def test_a_node_that_comes_later_is_waited_for_and_one_that_never_comes_is_told_of() -> None:
    # Serve's own half minute before it says of its replicas that they wait.
    environment = {
        **os.environ,
        "RAY_SERVE_SLOW_STARTUP_WARNING_S": "1",
        "RAY_SERVE_SLOW_STARTUP_WARNING_PERIOD_S": "1",
    }
    ran = subprocess.run(
        [sys.executable, "-m", "tests.support.late_node"],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    said = (line.partition(TOLD) for line in ran.stdout.splitlines())
    lines = [line for _, told, line in said if told]
    comes, placed = lines.index("a node comes"), lines.index("all placed")
    ranks = "2 learner ranks (0.5 CPU, 1 late each)"
    both = f"waiting for nodes: 1 of 4 bundles placed, asked for {ranks}, 1 reward replicas ("
    assert any(line.startswith(both) for line in lines[: comes + 1]), lines
    assert comes < placed
    assert lines[-1].startswith(
        "waited 1 s for nodes with room for 1 rollout actors (0.5 CPU, 1 never each): 0 of 1 "
        "bundles of the run are placed, and the cluster has 2 nodes with 4 CPU, 0 GPU, 0 never, of "
    )
    assert lines[-1].endswith("or raise cluster.wait_for_nodes_s")


def status_of(run: RunProcess) -> str:
    asked = andon("status", str(run.folder.path))
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout


@pytest.mark.long
def test_a_run_without_nodes_waits_for_them_says_so_and_can_be_stopped(
    reviews_inputs: Path, tmp_path: Path
) -> None:
    waits = "waiting for nodes: 0 of 3 bundles placed, asked for "
    settings = ("rollouts.weight_transport=object_store", "run.episodes=65536")
    with two_nodes_started("later") as (address, cluster):
        there = {"RAY_ADDRESS": address}
        run = RunProcess(reviews_inputs, tmp_path / "waits-1", settings, there)
        try:
            run.wait_for(lambda: waits in status_of(run), "a status that names the nodes")
            run.wait_for(lambda: f"] {waits}" in run.answer, "a line that names them")
            subprocess.run(andon("stop", str(run.folder.path)), check=True)
            run.wait()
            assert run.state["state"] == "stopped", run.output
        finally:
            run.kill()
        run = RunProcess(reviews_inputs, tmp_path / "waits-2", settings, there)
        try:
            run.wait_for(lambda: waits in status_of(run), "a status that names the nodes")
            for _ in range(2):
                cluster.stdin.write("one more\n")
            cluster.stdin.flush()
            run.wait_for_state("running")
            assert "waiting for nodes" not in status_of(run)
        finally:
            run.kill()
