"""What a killed driver leaves is ended and removed, and nothing else is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec

import psutil
import pytest

from cluster.process_start import since_boot_s
from cluster.starting.undertaker import SHARE, Undertaker, members, work
from tests.support.clock_set_back import set_clock_back

pytestmark = pytest.mark.timeout(60)

DRIVER = """
import sys, time
from cluster.starting.undertaker import Undertaker

undertaker = Undertaker()
undertaker.mind_session(int(sys.argv[1]))
print("minds", flush=True)
time.sleep(3600)
"""

PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(3600)"])
print(child.pid, flush=True)
time.sleep(3600)
"""


class Daemon:
    """A process in a session of its own, and its child."""

    def __init__(self) -> None:
        self.leader = psutil.Popen(
            [sys.executable, "-S", "-c", PARENT], stdout=subprocess.PIPE, start_new_session=True
        )
        self.child = psutil.Process(int(self.leader.stdout.readline()))

    def close(self) -> None:
        for process in (self.leader, self.child):
            if process.is_running():
                process.kill()
        self.leader.wait()
        self.leader.stdout.close()


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    made = Daemon()
    yield made
    made.close()


@pytest.fixture
def stranger() -> Iterator[Daemon]:
    made = Daemon()
    yield made
    made.close()


def is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_what_a_killed_driver_leaves_goes_and_nothing_else(
    daemon: Daemon, stranger: Daemon
) -> None:
    driver = psutil.Popen(
        [sys.executable, "-c", DRIVER, str(daemon.leader.pid)], stdout=subprocess.PIPE
    )
    assert driver.stdout.readline() == b"minds\n"
    (undertaker,) = driver.children()
    # Hears of nothing, and its leader is gone first: both as it may be.
    daemon.child.suspend()
    daemon.leader.kill()
    driver.kill()
    driver.wait()
    driver.stdout.close()
    undertaker.wait(30)
    assert is_gone(daemon.leader)
    assert is_gone(daemon.child)
    assert not is_gone(stranger.leader)
    assert not is_gone(stranger.child)


def test_it_hears_no_signal_of_the_driver_s_group_and_ends_when_it_is_closed() -> None:
    undertaker = Undertaker()
    assert os.getsid(undertaker.pid) == undertaker.pid != os.getsid(0)
    undertaker.close()
    assert not psutil.pid_exists(undertaker.pid)
    undertaker.close()


def test_that_it_was_killed_itself_is_no_matter_to_the_driver(daemon: Daemon) -> None:
    undertaker = Undertaker()
    process = psutil.Process(undertaker.pid)
    process.send_signal(signal.SIGKILL)
    while not is_gone(process):
        pass
    undertaker.mind_session(daemon.leader.pid)
    undertaker.close()
    assert not is_gone(daemon.child)


def test_a_session_that_took_the_number_later_would_be_no_member(daemon: Daemon) -> None:
    began_at_s = since_boot_s(daemon.leader.pid)
    found = {process.pid for process in members({daemon.leader.pid: began_at_s})}
    assert found == {daemon.leader.pid, daemon.child.pid}
    assert members({daemon.leader.pid: began_at_s + 60}) == []


def test_what_is_minded_is_ended_whatever_becomes_of_the_clock(
    daemon: Daemon, stranger: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    undertaker = Undertaker()
    told: list[Mapping[str, object]] = []
    monkeypatch.setattr(undertaker, "_tell", told.append)
    undertaker.mind_session(daemon.leader.pid)
    undertaker.close()
    set_clock_back(monkeypatch, 3600.0)
    monkeypatch.setattr("cluster.starting.undertaker.GRACE_S", 0.0)
    work(json.dumps(each) for each in told)
    assert is_gone(daemon.leader)
    assert is_gone(daemon.child)
    assert not is_gone(stranger.child)


def test_what_ends_by_itself_is_given_the_time(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            daemon.close()

    monkeypatch.setattr("cluster.starting.undertaker.time.sleep", sleep)
    monkeypatch.setattr("cluster.starting.undertaker.time.monotonic", lambda: 0.0)
    work([f'{{"session": {daemon.leader.pid}, "began_at_s": {since_boot_s(daemon.leader.pid)}}}\n'])
    assert len(waited) >= 3  # force would have ended it after one


def test_the_part_in_a_cluster_s_serve_is_ended_unless_the_driver_has_left_by_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", lambda command, **_: started.append(command))
    mind, forget = '{"share": ["10.0.0.1:6379", "a"]}\n', '{"share": null}\n'
    work([mind])
    assert started == [[sys.executable, "-m", SHARE, "10.0.0.1:6379", "a"]]
    work([mind, forget])
    assert len(started) == 1
    assert find_spec(SHARE) is not None
