"""Two whole runs on one Ray cluster: one is stopped or killed, and the other does not notice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from click.testing import CliRunner

from cluster.cli import main
from cluster.recordings.streams import RESTARTS, read
from label_queue.intake.server import PAGES_PORT
from protocol.http_server import listen
from tests.support.fronted import front_process
from tests.support.patience import PATIENCE_S
from tests.support.ports import free_port
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


def page(address: str) -> int:
    """Return the status of an address for somebody who has not signed in."""
    return httpx.get(address, timeout=PATIENCE_S, trust_env=False).status_code


def has_pages(address: str) -> bool:
    """Whether a run answers there, and asks who comes."""
    return page(address) == 401


def test_one_address_leads_to_each_and_a_run_that_was_killed_is_found_where_it_goes_on(
    cluster: tuple[str, psutil.Popen], tmp_path: Path
) -> None:
    address, _ = cluster
    inputs, port = save_inputs(tmp_path / "inputs"), free_port()
    at = f"http://127.0.0.1:{port}"
    settings = (*SETTINGS, f"cluster.public_url={at}/{{run}}")
    first, second = (
        RunProcess(inputs, tmp_path / name, settings, {"RAY_ADDRESS": address})
        for name in ("first-1", "second-1")
    )
    runs = [first, second]
    with ExitStack() as stack:
        stack.enter_context(front_process(str(tmp_path), "--port", str(port)))
        try:
            for run in runs:
                run.wait_for(partial(has_pages, f"{at}/{run.folder.path.name}/"), "its pages")
            status = CliRunner().invoke(main, ["status", str(first.folder.path)])
            assert f"labelling         {at}/first-1/ " in status.output
            label = CliRunner().invoke(main, ["label", "--owner", str(second.folder.path)])
            assert f"{at}/second-1/enter/" in label.output

            was_at = urlsplit(first.state["url"])
            first.process.kill()
            first.process.wait()
            wait_until(lambda: page(f"{at}/first-1/") == 503, "word of its death", PATIENCE_S)
            before = num_loads(second)
            second.wait_for(partial(has_loaded, second, before + 2), "steps after the other's end")
            assert has_pages(f"{at}/second-1/")

            # It would come back there, if it could.
            stack.enter_context(listen("127.0.0.1", was_at.port, PAGES_PORT, PATIENCE_S))
            arguments = ["resume", str(first.folder.path)]
            again = RunProcess.started(first.folder.path, arguments, {"RAY_ADDRESS": address})
            runs.append(again)
            again.wait_for(partial(has_pages, f"{at}/first-1/"), "its pages")
            assert again.state["url"] != was_at.geturl()
            listed = httpx.get(f"{at}/", trust_env=False).text
            for name in ("first-1", "second-1"):
                assert f'href="{at}/{name}/"' in listed
        finally:
            for run in runs:
                run.kill()
