"""Asking a run to stop: what is waited for, and what is done about one that does not react."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import psutil
import pytest

from cluster.run_folder import RunFolder
from cluster.watching import stopping
from cluster.watching.stopping import request_stop
from protocol.errors import ResourceError


@pytest.fixture
def folder(running: RunFolder) -> RunFolder:
    return running


def test_a_run_that_has_ended_is_not_asked_to_stop(folder: RunFolder) -> None:
    folder.update_state(state="finished")
    assert request_stop(folder.path, "enough", 60) == f"{folder.path}: already finished"
    assert folder.stop_requested() is None


class Clock:
    """Time that passes only while somebody sleeps; the run stops after `stops_after_s`."""

    def __init__(self, folder: RunFolder, stops_after_s: float) -> None:
        self.now = 0.0
        self._folder = folder
        self._stops_after_s = stops_after_s

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.now >= self._stops_after_s:
            assert self._folder.stop_requested() == "enough"
            self._folder.update_state(state="stopped")


class ClockThatKnowsDeath(Clock):
    """Of a run that never stops; once its driver is to be killed, no time passes before it is."""

    def __init__(self, folder: RunFolder, pid: int) -> None:
        super().__init__(folder, stops_after_s=1e9)
        self._pid = pid

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if self.now > stopping.AT_ONCE_S:
            os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOWAIT)


class ClockOfAResumption(Clock):
    """Of a run that is about to go on: it begins after `begins_after_s`, and then stops."""

    def __init__(self, folder: RunFolder, begins_after_s: float, stops_after_s: float) -> None:
        super().__init__(folder, stops_after_s)
        self._begins_after_s = begins_after_s

    def sleep(self, seconds: float) -> None:
        if self.now < self._begins_after_s <= self.now + seconds:
            self._folder.update_state(state="starting")
        super().sleep(seconds)


def set_clock(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    here = SimpleNamespace(monotonic=clock.monotonic, sleep=clock.sleep, time=lambda: 7.0)
    monkeypatch.setattr(stopping, "time", here)


def test_a_stop_waits_until_the_run_has_ended(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(folder, stops_after_s=3.0)
    set_clock(monkeypatch, clock)
    assert request_stop(folder.path, "enough", 60) == f"{folder.path}: stopped"
    assert clock.now == 3.0


def test_a_run_that_is_about_to_go_on_is_stopped_as_it_begins(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ClockOfAResumption(folder, begins_after_s=20.0, stops_after_s=23.0)
    set_clock(monkeypatch, clock)
    folder.update_state(state="finished")
    with folder.driven():
        assert request_stop(folder.path, "enough", 60) == f"{folder.path}: stopped"
    assert clock.now == 23.0


def test_of_one_that_does_not_begin_in_time_it_is_said(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_clock(monkeypatch, ClockOfAResumption(folder, begins_after_s=70.0, stops_after_s=1e9))
    folder.update_state(state="stopped")
    with folder.driven():
        with pytest.raises(ResourceError, match=r"is stopped, and a process .* for 60 s by now"):
            request_stop(folder.path, "enough", 60)
        assert folder.stop_requested() == "enough"


def test_a_run_that_writes_its_report_has_ended(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.update_state(state="finished")
    driven = folder.driven()
    driven.__enter__()
    clock = Clock(folder, stops_after_s=1e9)
    monkeypatch.setattr(clock, "sleep", lambda _: driven.__exit__(None, None, None))
    set_clock(monkeypatch, clock)
    assert request_stop(folder.path, "enough", 60) == f"{folder.path}: already finished"


def test_a_run_that_does_not_stop_in_time_is_told_with_the_mend(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_clock(monkeypatch, Clock(folder, stops_after_s=61.0))
    with pytest.raises(ResourceError, match=r"had not ended after 60 s: see .*--timeout") as told:
        request_stop(folder.path, "enough", 60)
    assert "\n" not in str(told.value)
    assert folder.stop_requested() == "enough"


@pytest.fixture
def driver(folder: RunFolder) -> Iterator[psutil.Popen]:
    """The folder's run is a process that reacts to nothing."""
    process = psutil.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
    folder.update_state(pid=process.pid, pid_started_at=process.create_time())
    yield process
    if process.poll() is None:
        process.kill()
    process.wait()


def test_a_driver_that_does_not_react_is_told_with_its_process_and_what_ends_it(
    folder: RunFolder, driver: psutil.Popen, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_clock(monkeypatch, Clock(folder, stops_after_s=1e9))
    with pytest.raises(ResourceError, match=rf"process {driver.pid}, .* --now"):
        request_stop(folder.path, "enough")
    assert driver.poll() is None


def test_at_once_a_driver_that_does_not_react_is_killed_and_that_is_written_down(
    folder: RunFolder, driver: psutil.Popen, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_clock(monkeypatch, ClockThatKnowsDeath(folder, driver.pid))
    reason = "enough; killed: it did not react for 25 s"
    said = request_stop(folder.path, "enough", at_once=True)
    assert said == f"{folder.path}: stopped ({reason})"
    assert driver.status() == psutil.STATUS_ZOMBIE  # nobody has asked for its exit code
    state = folder.read_state()
    assert (state["state"], state["stop_reason"], state["ended_at"]) == ("stopped", reason, 7.0)
    assert folder.is_stop_urgent()


def test_on_another_host_nothing_is_killed(
    folder: RunFolder, driver: psutil.Popen, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.update_state(host="elsewhere")
    set_clock(monkeypatch, Clock(folder, stops_after_s=1e9))
    with pytest.raises(ResourceError, match="runs on elsewhere"):
        request_stop(folder.path, "enough", at_once=True)
    assert driver.poll() is None


def test_of_a_run_whose_driver_died_it_is_said_when_and_what_to_do(folder: RunFolder) -> None:
    folder.update_state(pid_started_at=0.0)
    said = request_stop(folder.path, "enough")
    assert "died; last heard at 20" in said
    assert said.endswith(f"andon resume {folder.path} goes on from its last checkpoint")
    assert folder.stop_requested() is None
