"""What of the metrics a user may choose."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator

from protocol.settings import Settings

FORBIDDEN_IN_PROJECT = "/\\#?%:"
LONGEST_PROJECT = 128


def _check_project(name: str) -> str:
    """Return a project's name that wandb takes, online and offline; raise ValueError for others."""
    found = [
        repr(c) for c in dict.fromkeys(name) if c in FORBIDDEN_IN_PROJECT or not c.isprintable()
    ]
    if found:
        raise ValueError(f"wandb takes no {', '.join(found)} in a project's name")
    if not name.strip() or len(name) > LONGEST_PROJECT:
        raise ValueError(f"want a name of at most {LONGEST_PROJECT} characters")
    return name


class MetricsConfig(Settings):
    """Where the rows go besides `metrics.jsonl`, which always gets them."""

    wandb: Literal["offline", "online", "off"] = "offline"
    """What wandb does: "offline" needs neither an account nor a network; `wandb sync` uploads it
    later."""
    wandb_project: Annotated[str, AfterValidator(_check_project)] = "andon"
    """The wandb project the run belongs to, without its entity: WANDB_ENTITY names that."""
    wandb_text: bool = False
    """Whether prompts, responses and labelers' names are among what wandb is given. Without, its
    tables say how well, and not what or who; ledger snapshots say how many."""
    wandb_artifacts: bool = False
    """Whether wandb is given artifacts with their lineage when the run has ended by itself: ledger
    snapshots, reward versions and policy versions, by reference where they are large."""
    prometheus: bool = False
    """Whether Ray's metrics agent exports the rows too, as gauges such as `andon_policy_loss`."""
