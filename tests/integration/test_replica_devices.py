"""Which device a replica scores on: the one it was placed with, and no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from reward_service.config import RewardServiceConfig

# Ray Serve warns of its own use of pydantic when it is imported.
pytestmark = pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20")


@pytest.mark.parametrize(
    ("options", "device"),
    [({"num_cpus": 1}, "cpu"), ({"num_cpus": 1, "num_gpus": 0.2}, "cuda")],
)
def test_a_replica_takes_a_gpu_only_if_it_has_one(
    options: dict[str, float], device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reward_service.shell import build_reward_app

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # Ray shows all of them
    app: Any = build_reward_app(
        announcer=None,  # type: ignore[arg-type]
        policy_path=Path(),
        validation=[],
        config=RewardServiceConfig(),
        actor_options=options,
    )
    bound = app._bound_deployment
    assert device in bound.init_args
    assert {"cpu": "cuda", "cuda": "cpu"}[device] not in bound.init_args
    assert bound.ray_actor_options.get("num_gpus", 0) == options.get("num_gpus", 0)
