"""Runs, machines and models to plan for, and how a plan's process is found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cluster.config import RunConfig
from cluster.config_file import parse_config
from cluster.planning.machine import Machine
from cluster.planning.models import MetaModels
from cluster.planning.needs import GIB, Process
from cluster.planning.plan import Plan
from reward_service.pretrained import read_config
from tests.support.architectures import ARCHITECTURES

SHAPES = Path(__file__).parent / "model_configs"
MODELS = MetaModels(ARCHITECTURES["qwen2"][1]())
LARGE = MetaModels(read_config(SHAPES / "qwen2.5-7b"), follows_passes=False)
ON_GPUS = {"gpus_per_actor": 1, "gpus_per_learner_rank": 1}


def config(**sections: Any) -> RunConfig:
    """A run on the CPU, with these sections besides or instead."""
    content: dict[str, Any] = {
        "people": ["ann"],
        "run": {"episodes": 5120},
        "policy": {"path": "model"},
        "prompts": {"source": "reviews"},
        **sections,
    }
    return parse_config(content, "test")


def machine(num_gpus: int | None = None, gpu_gib: float = 79.0) -> Machine:
    """Another one than this, whose host and disk are not known."""
    return Machine(
        num_gpus=num_gpus,
        gpu_bytes=int(gpu_gib * GIB),
        host_bytes=None,
        disk_bytes=None,
        is_here=False,
    )


def named(plan: Plan, name: str) -> Process:
    """Return the one of that name."""
    (process,) = (each for each in plan.processes if each.name == name)
    return process
