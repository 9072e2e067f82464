"""Two whole runs on one Ray cluster: one is stopped, and the other does not notice."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import psutil
import pytest
from click.testing import CliRunner

from cluster.cli import main
from cluster.recordings.streams import RESTARTS, read
from tests.support.patience import PATIENCE_S
from tests.support.processes import name_of
from tests.support.run_process import (
    RunProcess,
    save_inputs,
    wait_until,
)
from tests.support.two_nodes import two_nodes_started

pytestmark = [
    pytest.mark.timeout(1800),
    pytest.mark.long,
    # Serve's own, when it is imported.
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20"),
]

SETTINGS = (
    "rollouts.weight_transport=object_store",
    "run.episodes=65536",
    "labels.total=4096",
    "cluster.cpus_per_part=0.2",
    'labelers=[{name = "robot", seconds_per_label = 0.5}]',
)


@pytest.fixture
def cluster() -> Iterator[tuple[str, psutil.Popen]]:
    """The address of a cluster of two nodes, and the process that has started them."""
    with two_nodes_started() as cluster:
        yield cluster


def num_loads(run: RunProcess) -> int:
    loads = run.folder.recordings / "loads.jsonl"
    return len(loads.read_text().splitlines()) if loads.exists() else 0


def has_loaded(run: RunProcess, times: int) -> bool:
    return num_loads(run) >= times


def face(run: RunProcess) -> int | None:
    """Return the status of a run's reward over HTTP; None where nobody listens."""
    try:
        return httpx.get(
            f"{run.state['reward_url']}/docs", timeout=PATIENCE_S, trust_env=False
        ).status_code
    except httpx.TransportError:
        return None


def actors(process: psutil.Process) -> list[str]:
    """Return the names of the actors on the cluster; idle workers and Ray's agents are none."""
    names = map(name_of, process.children(recursive=True))
    idle = ("ray::IDLE", "ray::DashboardA", "ray::RuntimeEnv")
    return [name for name in names if name.startswith("ray::") and not name.startswith(idle)]


def test_a_run_that_is_stopped_and_one_that_is_killed_end_nothing_but_their_own(
    cluster: tuple[str, psutil.Popen], tmp_path: Path
) -> None:
    address, nodes = cluster
    inputs = save_inputs(tmp_path / "inputs")
    folders = [tmp_path / name for name in ("first-1", "second-1")]
    first, second = (
        RunProcess(inputs, folder, SETTINGS, {"RAY_ADDRESS": address}) for folder in folders
    )
    try:
        for run in (first, second):
            run.wait_for(partial(has_loaded, run, 2), "two versions of its policy")
        assert first.state["reward_url"] != second.state["reward_url"]
        assert first.state["url"] != second.state["url"]
        assert (face(first), face(second)) == (200, 200)

        stopped = CliRunner().invoke(main, ["stop", str(folders[0]), "--reason", "enough"])
        assert stopped.output == f"{folders[0]}: stopped\n", first.output
        assert first.wait() == 0, first.output
        assert face(first) is None
        before = num_loads(second)
        second.wait_for(partial(has_loaded, second, before + 3), "steps after the other's end")
        assert face(second) == 200
        assert not read(second.folder.recordings, RESTARTS)

        second.process.kill()
        second.process.wait()
        # Its undertaker lives, which is a process of the run that the test would end, too.
        wait_until(lambda: not actors(nodes), "an empty cluster", PATIENCE_S)
        assert face(second) is None
    finally:
        first.kill()
        second.kill()
