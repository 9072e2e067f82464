"""A real run whose disk fills to the last byte waits, says so, and goes on when there is room."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.metrics.jsonl_sink import read_metrics
from protocol.labels import Submitted
from tests.support.beside import written
from tests.support.outside_labeler import OutsideLabeler
from tests.support.patience import PATIENCE_S
from tests.support.run_process import RunProcess, andon, save_inputs

pytestmark = [pytest.mark.timeout(1800), pytest.mark.long]

DISK_BYTES = 512 * 2**20
SETTINGS = (
    "run.episodes=4096",
    "labels.total=512",
    "labels.initial=6",
    'labelers=[{name = "robot", seconds_per_label = 0.2}]',
)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A run's folder on a file system of its own; skipped where this user may mount none."""
    folder = tmp_path / "run-1"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may mount no file system: see test_full_disk for what needs none")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file:
        for size in (2**20, 4096, 1):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError:
                continue


def num_episodes(run: RunProcess) -> float:
    rows = read_metrics(run.folder.metrics)
    return max((row.get("policy/episodes", 0.0) for row in rows), default=0.0)


def status_of(run: RunProcess) -> str:
    return subprocess.check_output(andon("status", str(run.folder.path)), text=True)


def test_a_run_waits_for_room_and_goes_on(tmp_path: Path, folder: Path) -> None:
    run = RunProcess(save_inputs(tmp_path / "inputs"), folder, SETTINGS)
    try:
        run.wait_for_state("running")
        person = OutsideLabeler(folder)
        person.start()
        run.wait_for(lambda: num_episodes(run) > 0, "the first step")

        ballast = folder / "ballast"
        fill(ballast)
        run.wait_for(lambda: "is full" in run.output, "the alarm")
        assert "free space on it" in status_of(run)
        steps = num_episodes(run)

        ballast.unlink()
        run.wait_for(lambda: run.state.get("disk") == "", "the run to see that there is room")
        run.wait_for(lambda: num_episodes(run) > steps + 16, "steps after there was room")
        person.stop()
        subprocess.run(andon("stop", str(folder)), check=True, timeout=PATIENCE_S)
        assert run.wait() == 0, run.output
    finally:
        run.kill()
    labels = [event.event_id for event in written(run.folder.ledger, Submitted)]
    assert len(set(labels)) == len(labels)
    assert person.acknowledged
    assert set(person.acknowledged) <= set(labels)
