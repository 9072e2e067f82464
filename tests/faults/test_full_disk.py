"""A full disk: labels are refused, steps wait, nothing promised is lost, and the run goes on.

A real file system where this user may mount one; a limit on files everywhere.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE_S

REPOSITORY = Path(__file__).parents[2]
UNSHARE = ("unshare", "--map-root-user", "--mount")


def may_mount(folder: Path) -> bool:
    """Whether this user may mount something in a namespace of its own."""
    command = [*UNSHARE, "mount", "-t", "tmpfs", "tmpfs", str(folder)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("way", ["limit", "tmpfs"])
def test_a_full_disk_loses_nothing_and_is_waited_for(tmp_path: Path, way: str) -> None:
    command = [sys.executable, "-m", "tests.faults.full_disk", str(tmp_path), way]
    if way == "tmpfs":
        if not may_mount(tmp_path):
            pytest.skip("this user may not mount a file system; the limit on files stands for it")
        command = [*UNSHARE, *command]
    done = subprocess.run(
        command,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "whole"
