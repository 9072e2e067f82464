"""Asking a run from outside to stop, and what to do about one that does not react."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from cluster.inert_text import shell_word
from cluster.run_folder import RunFolder
from cluster.watching.status import (
    OVER,
    driver_death,
    driver_process,
    is_here,
    read_state,
)
from protocol.errors import ResourceError

POLL_S = 0.5
STOP_S = 120.0
"""How long a stop is waited for: the default."""
AT_ONCE_S = 25.0
"""How long, before the driver is killed: it ends itself 19 s after it was asked, by default."""
DIES_S = 10.0
"""What a killed driver may take to be gone."""


def request_stop(
    path: Path, reason: str, timeout_s: float | None = None, *, at_once: bool = False
) -> str:
    """Ask a run to stop, wait until it has, and return what became of it.

    Args:
        path: The run's folder.
        reason: Why; kept with the run.
        timeout_s: How long to wait; None: `STOP_S`, or `AT_ONCE_S` where it is to be at once.
        at_once: Do not wait for the step under way, and kill a driver that does not react.

    Raises:
        MissingError: The folder holds no run.
        ResourceError: It has not ended in time, and is not to be or cannot be killed from here; or
            it is being resumed, and did not begin in time.
    """
    folder = RunFolder.existing(path)
    state = read_state(path)
    wait_s = timeout_s if timeout_s is not None else AT_ONCE_S if at_once else STOP_S
    if _has_ended(state):
        if folder.is_driven():
            folder.request_stop(reason, at_once=at_once)
            state = _wait_for_driver(folder, wait_s)
        if _has_ended(state):
            return f"{path}: {_how_it_ended(path, state, 'already ')}"
    folder.request_stop(reason, at_once=at_once)
    ended = _wait(path, wait_s)
    if ended is not None:
        return f"{path}: {_how_it_ended(path, ended)}"
    driver = _silent_driver(folder, wait_s)
    if not at_once:
        raise ResourceError(
            f"{path} had not ended after {wait_s:g} s: see {folder.logs}, wait with a longer "
            f"--timeout, or end its driver (process {driver.pid}, {driver.status()}) with "
            f"andon stop {shell_word(path)} --now"
        )
    return _kill(folder, driver, f"{reason}; killed: it did not react for {wait_s:g} s")


def _has_ended(state: Mapping[str, Any]) -> bool:
    return state["state"] in OVER


def _how_it_ended(path: Path, state: Mapping[str, Any], before: str = "") -> str:
    if state["state"] == "dead":
        return driver_death(path, state)
    return f"{before}{state['state']}"


def _wait_for_driver(folder: RunFolder, timeout_s: float) -> dict[str, Any]:
    """Return the state of a run that has ended, and has a driver, once that has begun or is gone.

    It is about to go on with the run, for which it looks through the folder first; or it writes the
    report.

    Raises:
        ResourceError: It does so for longer than is waited.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        is_driven = folder.is_driven()  # before the state is read, which it may change as it goes
        state = read_state(folder.path)
        if not (is_driven and _has_ended(state)):
            return state
        if time.monotonic() >= deadline:
            raise ResourceError(
                f"{folder.path} is {state['state']}, and a process is about to go on with it, or "
                f"writes its report, for {timeout_s:g} s by now: where it goes on, it will stop as "
                "it begins"
            )
        time.sleep(POLL_S)


def _wait(path: Path, timeout_s: float) -> dict[str, Any] | None:
    """Return a run's state once it has ended; None: it has not in time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        state = read_state(path)
        if _has_ended(state):
            return state
        time.sleep(POLL_S)
    return None


def _silent_driver(folder: RunFolder, waited_s: float) -> psutil.Process:
    """Return the process of a run that did not end.

    Raises:
        ResourceError: It cannot be seen from here.
    """
    state = read_state(folder.path)
    late = f"{folder.path} had not ended after {waited_s:g} s"
    if not is_here(state):
        raise ResourceError(f"{late}, and runs on {state['host']}: look there")
    try:
        driver = driver_process(state)
    except psutil.AccessDenied as error:
        raise ResourceError(f"{late}, and process {state['pid']} is another user's") from error
    if driver is None:
        raise ResourceError(f"{late}, and has ended just now: see andon status")
    return driver


def _kill(folder: RunFolder, driver: psutil.Process, reason: str) -> str:
    """Kill a driver; what it started ends with it. Write down what it could not."""
    try:
        driver.kill()
    except psutil.NoSuchProcess:
        pass
    except psutil.AccessDenied as error:
        raise ResourceError(f"process {driver.pid} is another user's") from error
    # Not psutil's wait: whoever started the driver may leave it a zombie.
    if _wait(folder.path, DIES_S) is None:
        raise ResourceError(f"process {driver.pid} was killed and has not ended: see the machine")
    # Nobody else writes to it any more.
    folder.update_state(state="stopped", stop_reason=reason, ended_at=time.time())
    return f"{folder.path}: stopped ({reason})"
