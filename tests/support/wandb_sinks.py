"""A sink to wandb as the demo has one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cluster.metrics.wandb_sink import WandbSink


def demo_sink(folder: Path, **changes: Any) -> WandbSink:
    """Return an offline one, but for what is to be otherwise."""
    from cluster.metrics.wandb_sink import WandbSink

    settings = {
        "project": "andon",
        "name": "demo-1",
        "wandb_id": "demo-1-9f2c61d0",
        "group": "online-0a1b2c3d",
        "mode": "offline",
        "run_config": {"seed": 1},
    }
    return WandbSink(folder=folder, **{**settings, **changes})
