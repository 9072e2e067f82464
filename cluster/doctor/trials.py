"""The checks that start processes, each in a process of its own with a time limit.

A trial is a module that prints one JSON object as its last line and ends with 0.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cluster.doctor.finding import Finding, failure, ok
from cluster.starting.environment import prepare_environment

TIMEOUT_S = 300.0
Run = Callable[[str, tuple[str, ...]], Mapping[str, Any] | str]
"""Runs a trial with arguments; returns what it said, or why it said nothing."""


def run_trial(module: str, arguments: tuple[str, ...], timeout_s: float = TIMEOUT_S) -> Any:
    """Run a trial; see `Run`. What it starts it ends itself; it is killed when the time is up."""
    prepare_environment(None)
    command = [sys.executable, "-m", module, *arguments]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {timeout_s:g} s"
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode == 0 and lines:
        return json.loads(lines[-1])
    said = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    return said[-1].strip() if said else f"it ended with {done.returncode} and said nothing"


def check_ray(run: Run = run_trial) -> Finding:
    """Say whether a private Ray and Serve start here, and run a task."""
    said = run("cluster.doctor.ray_trial", ())
    if isinstance(said, str):
        return failure("ray", f"does not work here: {said}", "see /tmp/ray/session_latest/logs")
    return ok("ray", f"{said['version']} starts with Serve, in {said['seconds']:.0f} s")


def check_logprobs(run: Run = run_trial) -> Finding:
    """Say whether vLLM and the trainer agree on the log-probabilities of a tiny model."""
    with tempfile.TemporaryDirectory() as folder:
        said = run("cluster.doctor.logprobs_trial", (str(Path(folder) / "tiny"),))
    if isinstance(said, str):
        mend = "`andon doctor --quick` leaves this out; see above for memory and versions"
        return failure("log-probs", f"vLLM or the trainer does not work here: {said}", mend)
    worst, allowed = said["largest"], said["tolerance"]
    text = (
        f"vLLM and the trainer differ by {worst:.1e} nats at most, on {said['num_tokens']} tokens"
    )
    if not worst <= allowed:
        mend = f"{allowed:g} is allowed: every weight load would fail; see `packages` above"
        return failure("log-probs", text, mend)
    return ok("log-probs", text)
