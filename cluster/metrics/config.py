"""What of the metrics a user may choose."""

from __future__ import annotations

from typing import Literal

from protocol.settings import Settings


class MetricsConfig(Settings):
    """Where the rows go besides `metrics.jsonl`, which always gets them."""

    wandb: Literal["offline", "online", "off"] = "offline"
    """Offline needs neither an account nor a network; `wandb sync` uploads it later."""
    wandb_project: str = "andon"
    """The wandb project the run belongs to."""
    prometheus: bool = False
    """Also export through Ray's metrics agent, as gauges named `andon_policy_loss`."""
