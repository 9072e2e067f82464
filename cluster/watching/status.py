"""How a run stands, read from its folder alone: no Ray, no import of anything heavy."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from cluster.inert_text import inert, one_line, shell_word
from cluster.metrics.jsonl_sink import read_metrics
from cluster.process_start import is_of, mark_of
from cluster.run_folder import RunFolder
from cluster.run_state import refuse_lack
from protocol.errors import MissingError, ResourceError, UserError
from protocol.files import LOOK_INTO, is_file, listed

ENDED = ("finished", "stopped", "failed")
OVER = (*ENDED, "dead")
"""States in which no process of a run goes on."""
ENOUGH_BYTES = 1_000_000
"""Room with which a run can still write down what it does."""


def read_state(path: Path) -> dict[str, Any]:
    """Return `run.json`.

    A run whose process is gone without having said so is "dead".

    Raises:
        MissingError: The folder holds no run.
        InputError: `run.json` is garbled.
        ResourceError: It may not be read.
    """
    folder = RunFolder.existing(path)
    state = folder.read_state("state", "mode", "seed")
    if state["state"] not in ENDED:
        refuse_lack(folder.state, state, "host", "pid", "pid_started_at")
        if not _is_alive(state):
            state["state"] = "dead"
    return state


def is_going_on(path: Path) -> bool:
    """Return whether the run's own process is there and has not ended. Raises as `read_state`."""
    return read_state(path)["state"] not in OVER


def has_driver(path: Path, *, unseen_is_gone: bool) -> bool:
    """Return whether a run's own process is there, so that nobody else is to go on with it.

    Args:
        path: The run's folder.
        unseen_is_gone: Take the process for gone where the run was last on another machine.

    Raises:
        ResourceError: It was last on another machine, and is not said to be gone.
    """
    state = read_state(path)
    if state["state"] in OVER:
        return False
    if is_here(state):
        return True
    if unseen_is_gone:
        return False
    raise ResourceError(
        f"{path} was last on {state['host']}, and whether it goes on there cannot be seen from "
        "here: look there; if that machine or container is no more, give --driver-is-gone"
    )


def newest_running(runs: Path) -> Path:
    """Return the run that began last, of those in the folder `runs` that are going on.

    One whose `run.json` cannot be read keeps nobody from the others.

    Raises:
        MissingError: None is; names the first that could not be read.
        ResourceError: The folder may not be looked into.
    """
    began_at: dict[Path, float] = {}
    unread: list[UserError] = []
    folders = listed(runs, "the folder of runs", LOOK_INTO)
    for file in (folder / "run.json" for folder in folders):
        try:
            if not is_file(file, "the run's state", "see that you may look into its folder"):
                continue
            state = read_state(file.parent)
            if state["state"] not in OVER:
                refuse_lack(file, state, "started_at")
                began_at[file.parent] = float(state["started_at"])
        except UserError as error:
            unread.append(error)
    if not began_at:
        beside = f" (passed over: {unread[0]})" if unread else ""
        raise MissingError(f"no run is going on under {runs}/: name the folder of one{beside}")
    return max(began_at, key=lambda path: began_at[path])


def read_status(path: Path) -> dict[str, Any]:
    """Return `run.json`, see `read_state`, and the last value of every metric.

    Raises:
        MissingError: The folder holds no run.
        InputError: A file in it is garbled.
        ResourceError: It may not be read.
    """
    state = read_state(path)
    latest: dict[str, float] = {}
    for row in read_metrics(RunFolder(path).metrics):
        latest.update(row)
    return {**state, "folder": str(path), "metrics": latest}


def describe(status: dict[str, Any], *, as_json: bool) -> str:
    """Return a status as text for a person, or as JSON."""
    if as_json:
        return json.dumps(status, indent=2, sort_keys=True)
    metrics, is_over = status["metrics"], status["state"] in OVER
    lines = [f"{status['folder']}: {status['state']} ({status['mode']}, seed {status['seed']})"]
    if status["state"] == "dead":
        lines.append(f"  reason            {driver_death(Path(status['folder']), status)}")
    elif reason := status.get("error") or status.get("stop_reason"):
        lines.append(f"  reason            {one_line(str(reason))}")
        if status["state"] in ("stopped", "failed"):
            lines.append(f"  to go on          andon resume {shell_word(Path(status['folder']))}")
    if status.get("activity") and not is_over:
        lines.append(f"  now               {one_line(status['activity'])}")
    # Of one that is dead or starts again they are those of its life before.
    has_faces = status["state"] == "running"
    if status.get("url") and has_faces:
        command = f"andon label {shell_word(Path(status['folder']))}"
        pages_url = status.get("pages_url", status["url"])
        lines.append(f"  labelling         {pages_url}/ ({command})")
    if status.get("reward_url") and has_faces:
        lines.append(f"  reward over HTTP  {status['reward_url']}/get_reward")
    if (cord := status.get("cord") or {}).get("is_pulled"):
        lines += [f"  cord              {line}" for line in _reasons(cord)]
    if not is_over and (trouble := status.get("disk") or _full_disk(Path(status["folder"]))):
        lines.append(f"  disk              {inert(trouble)}")
    shown = (
        ("episodes", "policy/episodes", ".0f"),
        ("policy version", "policy/version", ".0f"),
        ("reward version", "reward_model/version", ".0f"),
        ("labels accepted", "labels/accepted", ".0f"),
        ("labels counted", "labels/counted", ".0f"),
        ("labels wanted", "labels/scheduled", ".0f"),
        ("score", "reward/score_mean", "+.2f"),
        ("KL to reference", "kl/reference_mean", ".2f"),
        ("validation wins", "policy/winrate_vs_reference", ".2f"),
    )
    lines += [f"  {name:<17} {metrics[key]:{form}}" for name, key, form in shown if key in metrics]
    return "\n".join(lines)


def _full_disk(folder: Path) -> str:
    """Return that a run's disk is full, which the run could then not write down; "" else."""
    if shutil.disk_usage(folder).free >= ENOUGH_BYTES:
        return ""
    return f"the disk of {folder} is full: free space on it, and the run goes on by itself"


def _reasons(cord: dict[str, Any]) -> list[str]:
    """Return a line for each reason of a pulled cord; of one, in runs of before there were more."""
    lines = []
    for each in cord.get("reasons") or [{"actor": cord["pulled_by"], **cord}]:
        who = inert(" ".join(filter(None, (each["actor"], each.get("guard")))))
        seen = f" (see {inert(each['evidence'])})" if each.get("evidence") else ""
        lines.append(f"pulled by {who}: {inert(each['reason'])}{seen}")
    return lines


def driver_death(path: Path, state: Mapping[str, Any]) -> str:
    """Return what to say of a run that is "dead": when it was last heard, and what to do."""
    folder = RunFolder(path)
    written = [file.stat().st_mtime for file in (folder.state, folder.inspection) if file.exists()]
    heard = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(max(written)))
    return (
        f"its driver (process {state['pid']}) died; last heard at {heard}; "
        f"andon resume {shell_word(path)} goes on from its last checkpoint"
    )


def driver_process(state: Mapping[str, Any]) -> psutil.Process | None:
    """Return the run's own process, or None where it is gone.

    Raises:
        AccessDenied: psutil's; it is there, and another user's.
    """
    try:
        process = psutil.Process(state["pid"])
        is_it = _is_that(process, state)
        return process if is_it and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def _is_that(process: psutil.Process, state: Mapping[str, Any]) -> bool:
    """Whether a process of the run's number is the run's: numbers are used again."""
    mark: str | None = state.get("pid_mark")
    # An older version, with which the run may have gone on since, leaves the mark as it was.
    if mark is not None and is_of(mark, process.pid):
        return mark_of(process.pid) == mark
    return bool(abs(process.create_time() - state["pid_started_at"]) < 1)


def is_here(state: Mapping[str, Any]) -> bool:
    """Return whether a run's own process is on this machine, if anywhere."""
    return bool(state["host"] == os.uname().nodename)


def _is_alive(state: Mapping[str, Any]) -> bool:
    """Whether the run's own process still runs; unknown, and taken as yes, on another host."""
    try:
        return not is_here(state) or driver_process(state) is not None
    except psutil.AccessDenied:
        return True  # another user's: it is there
