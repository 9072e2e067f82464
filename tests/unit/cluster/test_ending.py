"""A run is ended from outside: by the signals its process gets, and by a request in its folder."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import ending as module
from cluster.ending import Ending
from cluster.interrupted import Interrupted
from cluster.run import _accounting
from cluster.run_folder import RunFolder

pytestmark = pytest.mark.timeout(60)

FOR_EVER_S = 3600.0


@pytest.fixture
def folder(running: RunFolder) -> RunFolder:
    running.update_state(started_at=time.time())
    return running


@pytest.fixture
def ending(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ending]:
    monkeypatch.setattr(module, "POLL_S", 0.01)
    with Ending(folder, FOR_EVER_S) as ending:
        yield ending


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(
    ("number", "name"), [(signal.SIGINT, "SIGINT"), (signal.SIGTERM, "SIGTERM"), (1, "SIGHUP")]
)
def test_a_signal_cancels_a_run_that_has_nothing_to_finish(
    ending: Ending, folder: RunFolder, number: int, name: str
) -> None:
    async def work() -> None:
        send(number)
        await asyncio.sleep(FOR_EVER_S)

    with _accounting(folder, ending):
        ending.run(work())
    state = folder.read_state()
    assert (state["state"], state["stop_reason"]) == ("stopped", f"interrupted by {name}")
    assert (ending.has_stopped, ending.signal_number) == (True, number)
    assert Interrupted(number).exit_code == 128 + number


def test_a_run_that_is_gone_on_with_took_as_long_as_since_it_first_began(
    ending: Ending, folder: RunFolder
) -> None:
    folder.update_state(started_at=time.time() - 600.0)
    with _accounting(folder, ending):
        pass
    state = folder.read_state()
    assert state["state"] == "finished"
    assert state["wall_s"] == pytest.approx(state["ended_at"] - state["started_at"])
    assert state["wall_s"] >= 600.0


def test_a_clock_that_is_set_back_takes_nothing_from_what_a_run_took(
    ending: Ending, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time
    with _accounting(folder, ending):
        monkeypatch.setattr(time, "time", lambda: real() - 3600.0)
    assert 0.0 <= folder.read_state()["wall_s"] < 3000.0
    folder.update_state(wall_s=600.0)
    with Ending(folder, FOR_EVER_S) as resumed, _accounting(folder, resumed):
        pass
    assert 600.0 <= folder.read_state()["wall_s"] < 3000.0


def test_within_the_loops_a_signal_lets_them_finish_and_what_follows_is_done(
    ending: Ending, folder: RunFolder
) -> None:
    done = []

    async def work() -> None:
        over = asyncio.Event()
        with ending.finishing_by(over.set):
            send(signal.SIGTERM)
            await over.wait()
        await asyncio.sleep(0)
        done.append("saved")

    with _accounting(folder, ending):
        ending.run(work())
    assert done == ["saved"]
    state = folder.read_state()
    assert (state["state"], state["stop_reason"]) == ("stopped", "interrupted by SIGTERM")
    assert not ending.is_cancelled


def test_a_run_that_saves_already_ends_as_it_would_have(ending: Ending, folder: RunFolder) -> None:
    async def work() -> None:
        with ending.finishing_by(lambda: pytest.fail("there is nothing to finish")):
            pass
        send(signal.SIGTERM)
        while ending.reason is None:  # noqa: ASYNC110 -- its thread tells of it by nothing else
            await asyncio.sleep(0.01)

    with _accounting(folder, ending):
        ending.run(work())
    assert folder.read_state()["state"] == "finished"
    assert not ending.has_stopped


def test_a_request_in_the_folder_is_heeded_while_the_event_loop_is_blocked(
    ending: Ending, folder: RunFolder
) -> None:
    async def work() -> None:
        folder.request_stop("enough")
        while ending.reason is None:
            time.sleep(0.01)  # noqa: ASYNC251 -- as Ray does
        await asyncio.sleep(FOR_EVER_S)

    with _accounting(folder, ending):
        ending.run(work())
    state = folder.read_state()
    assert (state["state"], state["stop_reason"]) == ("stopped", "enough")
    assert ending.signal_number is None


def test_a_request_that_this_user_may_not_read_is_one_and_signals_are_heard_still(
    ending: Ending, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = folder.path / "control" / "stop"

    def refused(path: Path) -> bytes:
        assert path == request
        raise PermissionError(13, "Permission denied", str(path))

    async def work() -> None:
        with ending.finishing_by(lambda: None):
            monkeypatch.setattr(Path, "read_bytes", refused)
            request.touch()
            while ending.reason is None:  # noqa: ASYNC110 -- as above
                await asyncio.sleep(0.01)
            send(signal.SIGTERM)
            while ending.signal_number is None:  # noqa: ASYNC110 -- as above
                await asyncio.sleep(0.01)

    ending.run(work())
    assert ending.reason == f"{request} is there (Permission denied)"
    assert (ending.has_stopped, ending.signal_number) == (True, signal.SIGTERM)


def test_a_request_for_at_once_does_not_let_the_loops_finish(
    ending: Ending, folder: RunFolder
) -> None:
    async def work() -> None:
        with ending.finishing_by(lambda: pytest.fail("asked to finish")):
            folder.request_stop("enough", at_once=True)
            await asyncio.sleep(FOR_EVER_S)

    with _accounting(folder, ending):
        ending.run(work())
    assert folder.read_state()["state"] == "stopped"


def test_a_signal_before_the_event_loop_interrupts_what_goes_on(
    ending: Ending, folder: RunFolder
) -> None:
    with _accounting(folder, ending):
        send(signal.SIGTERM)
        time.sleep(FOR_EVER_S)
    state = folder.read_state()
    assert (state["state"], state["stop_reason"]) == ("stopped", "interrupted by SIGTERM")


def test_a_run_that_was_asked_to_stop_before_it_began_ends_as_it_begins(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "POLL_S", 0.01)
    folder.request_stop("not now")

    async def work() -> None:
        await asyncio.sleep(FOR_EVER_S)

    with Ending(folder, FOR_EVER_S) as ending, _accounting(folder, ending):
        ending.run(work())
    state = folder.read_state()
    assert (state["state"], state["stop_reason"]) == ("stopped", "not now")


def test_the_signals_are_given_back(folder: RunFolder) -> None:
    before = [signal.getsignal(number) for number in module.SIGNALS]
    with Ending(folder, FOR_EVER_S):
        assert [signal.getsignal(number) for number in module.SIGNALS] != before
    assert [signal.getsignal(number) for number in module.SIGNALS] == before
    assert "ending" not in {thread.name for thread in threading.enumerate()}


def test_what_is_ignored_stays_ignored(folder: RunFolder) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Ending(folder, FOR_EVER_S):
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_what_fails_after_a_run_was_cancelled_is_kept_and_is_no_failure(
    ending: Ending, folder: RunFolder
) -> None:
    async def work() -> None:
        try:
            send(signal.SIGTERM)
            await asyncio.sleep(FOR_EVER_S)
        finally:
            raise RuntimeError("the hub was gone")

    with _accounting(folder, ending):
        ending.run(work())
    assert folder.read_state()["state"] == "stopped"
    assert "the hub was gone" in (folder.logs / "error.txt").read_text()


HANGS = """
import asyncio, sys, time
from pathlib import Path
from cluster.ending import Ending
from cluster.run import _accounting
from cluster.run_folder import RunFolder

async def work():
    print("hangs", flush=True)
    time.sleep(3600)

folder = RunFolder(Path(sys.argv[1]))
with Ending(folder, float(sys.argv[2])) as ending, _accounting(folder, ending):
    ending.at_the_cut(lambda: print("killed what it started", flush=True))
    ending.run(work())
"""


def start_hanging(folder: RunFolder, stop_s: float) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HANGS, str(folder.path), str(stop_s)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "hangs\n"
    return process


def assert_cut(process: subprocess.Popen[str], folder: RunFolder, code: int, reason: str) -> None:
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (code, "killed what it started\n"), err
    assert err == f"andon: stopped ({reason}; killed while stopping)\n"
    state = folder.read_state()
    assert (state["state"], state["stop_reason"]) == ("stopped", f"{reason}; killed while stopping")
    assert state["ended_at"] >= state["started_at"]


def test_a_second_signal_ends_a_run_that_hangs(folder: RunFolder) -> None:
    process = start_hanging(folder, FOR_EVER_S)
    process.send_signal(signal.SIGTERM)
    time.sleep(1.5)  # sooner it is the same request
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert_cut(process, folder, 143, "interrupted by SIGTERM")


def test_a_run_that_hangs_is_cut_off_when_its_time_is_over(
    folder: RunFolder,
) -> None:
    process = start_hanging(folder, 0.1)
    folder.request_stop("enough")
    assert_cut(process, folder, 0, "enough")
