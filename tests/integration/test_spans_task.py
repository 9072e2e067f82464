"""`examples/tasks/spans`, made small: marks of simulated labelers reach the policy of a run."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from cluster.report.records import read_run
from reward_service.bundle_manifest import read_manifest
from tests.support.run_process import andon
from tests.support.small_task import run_small

pytestmark = pytest.mark.timeout(1800)

SETTINGS = (
    "labels.total=24",
    "labels.initial=8",
    'labelers=[{name = "robot", beta = 1e6, seconds_per_label = 0.05, marks = 1.0}]',
    'recording.record=["batches", "scores", "labels"]',
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_small("spans", tmp_path_factory.mktemp("spans"), SETTINGS)


def test_the_labels_carry_marks_and_every_fit_learns_them(folder: Path) -> None:
    run = read_run(folder)
    assert sum(bool(each.marks) for each in run.training) >= len(run.training) / 2
    assert run.rewards
    for version in run.rewards:
        assert 0.0 <= version.metrics["reward_model/mark_accuracy"] <= 1.0
        assert version.metrics["reward_model/mark_loss"] > 0.0
        assert read_manifest(Path(version.path)).reward_model.marks is not None


def test_every_step_pays_for_marks(folder: Path) -> None:
    paid = read_run(folder).series("reward/mark_pay")
    assert len(paid) == 4
    assert any(paid)


@pytest.mark.parametrize("part", ["learner", "reward-service", "reward-trainer", "label-queue"])
def test_what_crossed_a_process_with_marks_is_replayed(folder: Path, part: str) -> None:
    done = subprocess.run(
        andon("replay", folder.name, "--part", part),
        cwd=folder.parent,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
