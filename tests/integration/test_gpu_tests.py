"""The tests of `tests/gpu` on a machine without a GPU: that they could begin, and are right so far.

Each is collected and skipped for its reason, each run's config is read and planned for the GPUs
that it asks for, and what needs no GPU is run.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from cluster.planning.models import MetaModels
from cluster.planning.plan import make_plan
from cluster.planning.serving import longest_read, rollout_actors
from cluster.starting.engine_memory import beside_cache_bytes
from cluster.starting.given_reward import check_given, find_bundle
from cluster.starting.policy_source import model_shape
from reward_service import hot_swap
from tests.support.crowded_swap import save_wide_model, swap_without_room
from tests.support.gpu_runs import RUNS, GpuRun, planned_engine, save_gpu_inputs
from tests.support.plans import machine
from tests.support.run_process import REPOSITORY

MOST_GPUS = 2
"""With which one command runs all but what says that it wants more."""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_gpu_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU: run tests/gpu")
def test_each_is_collected_and_says_what_it_lacks() -> None:
    command = ("pytest", "tests/gpu", "-rs", "-q", "-p", "no:cacheprovider", "-p", "no:xdist")
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=REPOSITORY,
        env={**os.environ, "DS_ACCELERATOR": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    *reasons, last = done.stdout.strip().splitlines()
    assert re.fullmatch(r"=*\s*\d+ skipped in .*", last), done.stdout
    told = [line for line in reasons if line.startswith("SKIPPED")]
    assert len(told) >= len(RUNS)
    assert all(re.search(r": needs (a GPU|\d+ GPUs).*; there (is none|are 0)$", x) for x in told)


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_a_run_has_room_on_the_gpus_that_it_asks_for_and_needs_them_all(
    run: GpuRun, inputs: Path
) -> None:
    config = run.load(inputs)
    assert config.run.episodes == run.episodes
    assert config.rollouts.probe_tolerance == run.largest_mismatch
    models = MetaModels(model_shape(config))
    plan = make_plan(config, models, machine(run.needs))
    assert not plan.problems
    assert len(plan.devices) == run.needs
    fewer = make_plan(config, models, machine(run.needs - 1))
    assert "none is left for" in fewer.problems[0].text


def test_all_kinds_of_runs_are_there_for_two_gpus(inputs: Path) -> None:
    configs = [run.load(inputs) for run in RUNS if run.needs <= MOST_GPUS]
    assert {each.rollouts.weight_transport for each in configs} >= {"nccl", "ipc", "auto"}
    assert {each.cluster.colocation for each in configs} == {"beside", "turns"}
    assert max(each.rollouts.tensor_parallel_size for each in configs) == 2
    assert max(each.learner.num_ranks for each in configs) == 2
    assert any(each.policy_lora is not None for each in configs)
    assert any(each.learner.offload_optimizer for each in configs)
    assert any(each.cluster.gpus_per_reward_replica for each in configs)
    assert any(each.rollouts.kv_cache_gib == 0 for each in configs)
    assert any(each.rollouts.dtype == each.learner.dtype == "bfloat16" for each in configs)


def test_the_given_reward_is_one_for_the_policy(inputs: Path) -> None:
    given = {reward for run in RUNS if (reward := run.load(inputs).run.reward)}
    assert len(given) == 1
    check_given(find_bundle(given.pop()), inputs / "policy", pays_marks=False)


@pytest.mark.parametrize("kv_cache_gib", [4.0, 0.0])
def test_an_engine_s_memory_can_be_planned(inputs: Path, kv_cache_gib: float) -> None:
    run = planned_engine(inputs / "policy", kv_cache_gib)
    models = MetaModels(model_shape(run))
    device_bytes = machine().gpu_bytes
    (actor,) = rollout_actors(run, models, device_bytes, longest_read(run, models))
    assert (beside_cache_bytes(run) is None) == (kv_cache_gib > 0)
    if kv_cache_gib == 0:
        assert actor.on_device == int(0.2 * device_bytes)


def test_a_swap_without_room_leaves_the_old_version_live(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def shortage() -> Iterator[None]:
        def refuse(*_: object) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory")

        with monkeypatch.context() as patch:
            patch.setattr(hot_swap, "put_weights_in", refuse)
            yield

    save_wide_model(tmp_path / "policy", width=64, layers=1)
    swap_without_room(tmp_path, tmp_path / "policy", torch.device("cpu"), shortage())
