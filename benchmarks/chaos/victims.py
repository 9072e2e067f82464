"""The processes of a run, by kind: which may be killed, and which are left alone."""

from __future__ import annotations

from contextlib import suppress

import psutil

from tests.support.processes import is_alive, line_of

KINDS: dict[str, str] = {
    "rollout actor": "ray::RolloutActor",
    "engine core": "VLLM::EngineCor",
    "learner rank": "ray::LearnerRank",
    "reward trainer rank": "ray::RewardTrainerRank",
    "reward replica": "-reward:RewardReplica",
    "intake": "ray::IntakeShell",
    "Serve's controller": "ray::ServeController",
    "reward's face": "ray::RewardFace",
    "label queue": "ray::LabelQueueShell",
    "reward announcer": "ray::AnnouncerShell",
    "metrics hub": "ray::MetricsShell",
    "simulated labeler": "label_queue.simulated",
}
"""What the command line of a process of each kind holds."""
DRIVER = "driver"


def processes(driver: psutil.Process) -> dict[str, list[psutil.Process]]:
    """Return the living processes of a run by kind; the driver is one of its own."""
    found: dict[str, list[psutil.Process]] = {kind: [] for kind in KINDS}
    found[DRIVER] = [driver] if is_alive(driver) else []
    with suppress(psutil.NoSuchProcess):  # a driver that has ended has no children
        for process in driver.children(recursive=True):
            kind = kind_of(line_of(process))
            if kind is not None and is_alive(process):
                found[kind].append(process)
    return found


def kind_of(line: str) -> str | None:
    """Return the kind of process that has a command line; None: Ray's own, or starting."""
    return next((kind for kind, sign in KINDS.items() if sign in line), None)
