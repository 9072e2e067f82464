"""Whole runs on one GPU and on several. Each version that an engine took is proved by its probe."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tests.support.gpu_runs import RUNS, GpuRun, save_gpu_inputs
from tests.support.run_process import RunProcess

NUM_GPUS = torch.cuda.device_count()

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(1800)]

Start = Callable[[GpuRun], RunProcess]


def runs() -> list[object]:
    """Return each run as a parameter, skipped where there are too few GPUs."""
    found: list[object] = []
    for run in RUNS:
        wanted = "a GPU" if run.needs == 1 else f"{run.needs} GPUs"
        reason = f"needs {wanted}, which {run.shares}; there are {NUM_GPUS}"
        skipped = pytest.mark.skipif(run.needs > NUM_GPUS, reason=reason)
        found.append(pytest.param(run, id=run.name.replace(" ", "-"), marks=skipped))
    return found


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a run on what devices there are; whatever is left of it at the end is killed."""
    inputs, begun = save_gpu_inputs(tmp_path), list[RunProcess]()

    def started(run: GpuRun) -> RunProcess:
        folder = tmp_path / "run-1"
        arguments = run.arguments(inputs, folder)
        begun.append(RunProcess.started(folder, arguments, {"DS_ACCELERATOR": "cuda"}))
        return begun[-1]

    yield started
    for run in begun:
        run.kill()


@pytest.mark.parametrize("run", runs())
def test_a_run_ends_well_and_all_versions_were_loaded(run: GpuRun, start: Start) -> None:
    begun = start(run)
    assert begun.wait() == 0, begun.output
    summary = json.loads((begun.folder.report / "summary.json").read_text())
    assert summary["episodes"] == run.episodes
    assert summary["logprob_mismatch_max"] <= run.largest_mismatch
