"""Whole runs whose weights go from device to device. Every version is proved by its probe."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tests.support.run_process import RunProcess, save_inputs

NUM_GPUS = torch.cuda.device_count()

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(1800)]

LABELER = 'labelers=[{name = "robot", seconds_per_label = 0.05}]'

Run = Callable[..., RunProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Run]:
    """Start a run on what devices there are; whatever is left of it at the end is killed."""
    save_inputs(tmp_path)
    runs: list[RunProcess] = []

    def started(*settings: str) -> RunProcess:
        environment = {"DS_ACCELERATOR": "cuda"}
        runs.append(RunProcess(tmp_path, tmp_path / "run-1", (LABELER, *settings), environment))
        return runs[-1]

    yield started
    for run in runs:
        run.kill()


def assert_all_versions_were_loaded(run: RunProcess) -> None:
    assert run.wait() == 0, run.output
    summary = json.loads((run.folder.report / "summary.json").read_text())
    assert summary["episodes"] == 64
    assert summary["logprob_mismatch_max"] <= 1e-3


@pytest.mark.skipif(NUM_GPUS < 1, reason="needs a GPU that learner and actor share; there is none")
def test_ipc(start: Run) -> None:
    run = start(
        "rollouts.weight_transport=ipc",
        "rollouts.num_actors=2",
        "rollouts.kv_cache_gib=0.25",
        "cluster.gpus_per_actor=0.25",
        "cluster.gpus_per_learner_rank=0.25",
    )
    assert_all_versions_were_loaded(run)


@pytest.mark.skipif(
    NUM_GPUS < 3,
    reason=f"needs a GPU each for an actor, the learner, the reward trainer; there are {NUM_GPUS}",
)
def test_nccl(start: Run) -> None:
    run = start(
        "rollouts.weight_transport=nccl",
        f"rollouts.num_actors={min(NUM_GPUS - 2, 2)}",
        "rollouts.kv_cache_gib=0.25",
        "cluster.gpus_per_actor=1",
        "cluster.gpus_per_learner_rank=1",
    )
    assert_all_versions_were_loaded(run)
