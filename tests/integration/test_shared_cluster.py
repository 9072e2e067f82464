"""Several drivers on one real Ray cluster: what one of them ends, or leaves, is nobody else's."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psutil
import pytest

from tests.support.patience import PATIENCE_S
from tests.support.processes import name_of
from tests.support.run_process import REPOSITORY, wait_until
from tests.support.shared_driver import THEIRS
from tests.support.two_nodes import two_nodes_started

pytestmark = pytest.mark.timeout(900)


class Driver:
    """A driver that shares the cluster; see `tests.support.shared_driver`."""

    def __init__(self, address: str, run_id: str) -> None:
        self.run_id = run_id
        self.process = psutil.Popen(
            [sys.executable, "-m", "tests.support.shared_driver", address, run_id],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.front = ""
        """Serve's HTTP front, where there is one."""

    def wait_until_it_answers(self) -> None:
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        self.front = line.strip()
        assert self.answers

    def look(self) -> dict[str, Any]:
        """Return what its application answers, and what is on the cluster's Serve."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        seen: dict[str, Any] = json.loads(line)
        return seen

    @property
    def answers(self) -> bool:
        """Whether the application is there, and this run's."""
        return bool(self.look()["answer"] == self.run_id)

    @property
    def applications(self) -> list[str]:
        """All that are on the cluster."""
        found: list[str] = self.look()["applications"]
        return found

    def end(self) -> None:
        """Have it end as a run does."""
        self.process.stdin.close()
        assert self.process.wait(PATIENCE_S) == 0, self.process.stderr.read()

    def kill(self) -> None:
        """End it at one blow; its undertaker lives."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        if self.process.poll() is None:
            self.kill()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            stream.close()


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[str, psutil.Popen]]:
    """The address of a cluster of two nodes, and the process that has started them."""
    with two_nodes_started() as cluster:
        yield cluster


@pytest.fixture
def begin(cluster: tuple[str, psutil.Popen]) -> Iterator[Callable[[str], Driver]]:
    """Start a driver; all of them are ended with the test."""
    begun: list[Driver] = []

    def started(run_id: str) -> Driver:
        begun.append(Driver(cluster[0], run_id))
        return begun[-1]

    yield started
    for driver in begun:
        driver.close()


@pytest.fixture
def serve_has_ended(cluster: tuple[str, psutil.Popen]) -> Callable[[], bool]:
    """Say whether no process of Serve, and no driver's actor, is left on the cluster."""

    def has_ended() -> bool:
        names = map(name_of, cluster[1].children(recursive=True))
        ours = ("ray::ServeContro", "ray::ServeReplic", "ray::ProxyActor", "ray::ClaimShell")
        return not any(name.startswith(tuple(each[:15] for each in ours)) for name in names)

    return has_ended


Begin = Callable[[str], Driver]


def test_two_that_start_at_once_share_one_serve_and_each_ends_its_own(
    begin: Begin, serve_has_ended: Callable[[], bool]
) -> None:
    first, second = begin("run-1"), begin("run-2")
    for driver in (first, second):
        driver.wait_until_it_answers()
    assert first.look()["serve"] == second.look()["serve"]
    assert first.applications == ["andon-run-1-reward", "andon-run-2-reward"]

    namesake = begin("run-1")
    assert namesake.process.wait(PATIENCE_S) != 0
    refusal = namesake.process.stderr.read()
    assert f"a run called run-1 is on this Ray cluster already (process {first.process.pid} on" in (
        refusal
    )
    assert first.answers

    first.end()
    assert second.applications == ["andon-run-2-reward"]
    assert second.answers

    second.end()
    wait_until(serve_has_ended, "an empty cluster", PATIENCE_S)


def test_what_a_killed_driver_leaves_goes_by_itself_and_nothing_else(
    begin: Begin, serve_has_ended: Callable[[], bool]
) -> None:
    first, second = begin("run-1"), begin("run-2")
    for driver in (first, second):
        driver.wait_until_it_answers()
    first.kill()
    only_second = ["andon-run-2-reward"]
    wait_until(lambda: second.applications == only_second, "the first one's end", PATIENCE_S)
    assert second.answers

    again = begin("run-1")
    again.wait_until_it_answers()
    again.kill()
    second.kill()
    wait_until(serve_has_ended, "an empty cluster", PATIENCE_S)


@pytest.mark.long
def test_serve_that_somebody_else_started_is_joined_and_stays_and_has_no_route_to_ours(
    begin: Begin,
) -> None:
    theirs = begin(THEIRS)
    theirs.wait_until_it_answers()
    ours = begin("run-1")
    ours.wait_until_it_answers()
    assert ours.look()["serve"] == theirs.look()["serve"]
    routes = httpx.get(f"{theirs.front}/-/routes", timeout=PATIENCE_S, trust_env=False).json()
    assert routes == {"/theirs": THEIRS}
    ours.end()
    assert theirs.applications == [THEIRS]
    assert theirs.answers
