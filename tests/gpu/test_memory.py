"""What a GPU has to give, against the plan: a learner's step, and an engine with its cache."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from actors.config import RolloutConfig
from cluster.planning.models import MetaModels
from cluster.planning.needs import GIB, MIB
from cluster.planning.serving import longest_read, rollout_actors
from cluster.starting.engine_memory import beside_cache_bytes
from cluster.starting.policy_source import model_shape
from tests.support.engine_environment import engine_environment
from tests.support.gpu_runs import planned_engine
from tests.support.recorded_memory import Measured, measured
from tests.support.run_process import REPOSITORY
from tests.support.tiny_model import save_tiny_model

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU; there is none"),
    pytest.mark.filterwarnings("default"),
]

MORE, LESS = 1.02, 0.9
"""By how much of the plan a peak may be above it or below; cuBLAS takes less on some devices."""
SPARE = GIB
"""How much more than an engine takes its plan may say: CUDA's own, by a constant."""


@pytest.mark.parametrize("row", measured(), ids=lambda each: f"{each.weights}-{each.dtype}")
def test_a_learner_s_step_takes_what_is_planned(row: Measured) -> None:
    """By `benchmarks.learner_memory` in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.learner_memory", *row.arguments()],
        cwd=REPOSITORY,
        env={**os.environ, "DS_ACCELERATOR": "cuda"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    told = re.search(r"peak over what was there before (\d+) MiB", done.stdout)
    assert told is not None, done.stdout
    planned = row.planned()
    assert LESS * planned <= int(told[1]) * MIB <= MORE * planned


@pytest.fixture
def environment() -> Iterator[None]:
    with engine_environment(RolloutConfig()):
        yield


@pytest.mark.asyncio
@pytest.mark.parametrize("kv_cache_gib", [4.0, 0.0])
async def test_an_engine_takes_what_is_planned(
    environment: None, tmp_path: Path, kv_cache_gib: float
) -> None:
    """Where it is told its cache, and where it shares its device by `gpu_memory_utilization`."""
    from actors.vllm_engine import VllmEngine

    run = planned_engine(save_tiny_model(tmp_path / "policy"), kv_cache_gib)
    models = MetaModels(model_shape(run))
    free, total = torch.cuda.mem_get_info()
    (actor,) = rollout_actors(run, models, total, longest_read(run, models))
    beside = beside_cache_bytes(run)
    engine = VllmEngine(tmp_path / "policy", run.rollouts, seed=1, beside_cache=beside)
    await engine.start()
    try:
        await engine.score((5, 6, 7, 8))
        taken = free - torch.cuda.mem_get_info()[0]
    finally:
        await engine.stop()
        with warnings.catch_warnings(action="ignore"):  # vLLM leaves its ZeroMQ to the collector
            await asyncio.sleep(0)
            gc.collect()
    assert taken <= actor.on_device <= taken + SPARE
