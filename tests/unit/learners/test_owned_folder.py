"""What a publisher has in shared memory goes with it, and nothing of another's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from learners.owned_folder import LOCK, OwnedFolder, remove_abandoned
from tests.support.patience import PATIENCE_S
from tests.support.run_process import REPOSITORY, wait_until

pytestmark = pytest.mark.timeout(120)

OWNER = """
import sys, time
from pathlib import Path
from learners.owned_folder import OwnedFolder

owned = OwnedFolder(Path(sys.argv[1]) / "andon-a")
(owned.path / "policy-000001.safetensors").write_text("weights")
print(owned.path, flush=True)
time.sleep(3600)
"""


@contextmanager
def owner(parent: Path) -> Iterator[tuple[psutil.Popen, Path]]:
    """Start a process that has a folder; yield it and the folder."""
    with psutil.Popen(
        [sys.executable, "-c", OWNER, str(parent)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process, Path(process.stdout.readline().strip())
        finally:
            with suppress(psutil.NoSuchProcess):
                process.kill()


def waiting_for(folder: Path) -> list[psutil.Process]:
    """Return the process that will remove a folder."""
    return [each for each in psutil.process_iter() if str(folder) in _command(each)]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_of_an_owner_that_is_killed_nothing_stays(tmp_path: Path) -> None:
    with owner(tmp_path) as (process, folder), owner(tmp_path) as (_, others):
        assert folder != others
        assert process.children() == [], "Ray would end it too"
        process.kill()
        wait_until(lambda: not folder.exists(), "the folder is gone", PATIENCE_S)
        wait_until(lambda: not waiting_for(folder), "nobody waits any more", PATIENCE_S)
        assert (others / "policy-000001.safetensors").exists()


def test_no_signal_to_the_owners_group_ends_what_waits(tmp_path: Path) -> None:
    with owner(tmp_path) as (process, folder):
        (waiter,) = waiting_for(folder)
        assert os.getsid(waiter.pid) not in (os.getsid(process.pid), os.getsid(0))


def test_what_nobody_waited_for_is_removed_by_the_next_owner(tmp_path: Path) -> None:
    with owner(tmp_path) as (process, abandoned), owner(tmp_path) as (_, held):
        (waiter,) = waiting_for(abandoned)
        waiter.kill()
        process.kill()
        process.wait()
        strange = tmp_path / "andon-of-another-program"
        strange.mkdir()
        (tmp_path / "andon-file").write_text("")
        assert abandoned.exists()
        mine = OwnedFolder(tmp_path / "andon-a")
        assert not abandoned.exists()
        assert (held / LOCK).exists()
        remove_abandoned(tmp_path)
        assert mine.path.exists()
        assert strange.exists()
        mine.remove()
        mine.remove()
        assert not mine.path.exists()
