"""Learner and engines that take turns are on one GPU, whatever else is free: Ray itself says so."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from tests.support.patience import PATIENCE_S


def test_one_bundle_is_of_one_device() -> None:
    told = subprocess.run(
        (sys.executable, "-m", "tests.support.shared_bundle"),
        # On a busy machine a node takes longer than Ray waits for by itself.
        env={**os.environ, "RAY_raylet_start_wait_time_s": f"{PATIENCE_S:g}"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    of_learner, *of_actors = json.loads(told.stdout)
    assert len(of_learner) == 1
    assert of_actors == [of_learner] * 2
