"""What runs an engine's workers, inside the placement group that its actor is in."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from vllm.config import ParallelConfig

from actors.vllm_engine import _executor

# vLLM imports what PyTorch has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")


def test_a_split_engine_runs_on_processes_of_its_own_though_ray_has_a_placement_group(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # vLLM left to itself takes Ray as soon as its actor is in a placement group.
    group: Any = SimpleNamespace(id="the actor's")
    monkeypatch.setattr("ray.is_initialized", lambda: True)
    monkeypatch.setattr("ray.util.get_current_placement_group", lambda: group)
    split = ParallelConfig(tensor_parallel_size=2, distributed_executor_backend=_executor(2))
    assert split.distributed_executor_backend == "mp"


@pytest.mark.parametrize(("has_cuda", "own_process"), [(True, True), (False, False)])
def test_one_worker_on_cpu_has_no_process_of_its_own(
    monkeypatch: pytest.MonkeyPatch, has_cuda: bool, own_process: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_cuda)
    assert (_executor(1) is None) == own_process
