"""What engines on shared GPUs are told, so that vLLM measures none where others load meanwhile."""

from __future__ import annotations

import pytest

from actors.memory import cache_beside_others
from cluster.config import RunConfig
from cluster.config_file import load_config
from cluster.planning.models import MetaModels
from cluster.planning.needs import GIB
from cluster.planning.serving import longest_read, rollout_actors
from cluster.starting.engine_memory import beside_cache_bytes
from cluster.starting.policy_source import model_shape
from tests.support.plans import SHAPES
from tools.example_plans import EXAMPLES, SHOWN, Example


def example_run(example: Example) -> RunConfig:
    return load_config(
        EXAMPLES / f"{example.name}.toml", (f"policy.path={SHAPES / example.shape}",)
    )


@pytest.mark.parametrize("example", SHOWN, ids=lambda example: example.name)
def test_an_example_s_engines_are_told_what_its_plan_says(example: Example) -> None:
    run, device_bytes = example_run(example), int(example.gpu_gib * GIB)
    beside = beside_cache_bytes(run)
    has_own_devices = run.cluster.gpus_per_actor >= 1
    assert (beside is None) == (has_own_devices or run.rollouts.kv_cache_gib > 0)
    if beside is None:
        return
    models = MetaModels(model_shape(run))
    actor, *_ = rollout_actors(run, models, device_bytes, longest_read(run, models))
    told = cache_beside_others(device_bytes, run.rollouts.gpu_memory_utilization, beside)
    assert told == actor.model["kv_cache"] > GIB
