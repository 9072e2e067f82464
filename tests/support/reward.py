"""Reward versions, and small reward models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from protocol.fits import RewardVersion

if TYPE_CHECKING:
    from reward_service.reward_model import RewardModel


def make_reward_version(version: int = 1, *, path: str = "", sha256: str = "") -> RewardVersion:
    return RewardVersion(
        version=version,
        kind="refit",
        path=path,
        sha256=sha256 or f"digest-{version}",
        ledger_seq=10 * version,
        exclusions_sha256="none",
        labeler_weights=(("ann", 0.9), ("bob", 1.0)),
        labels_used=8 * version,
        fit_seconds=1.5,
        metrics={"reward_model/loss": 0.5},
    )


def make_reward_model(
    reference: Path, seed: int = 0, num_heads: int = 1, **config: object
) -> RewardModel:
    import torch

    from reward_service.config import RewardModelConfig
    from reward_service.reward_model import RewardModel

    return RewardModel.from_reference(
        reference,
        RewardModelConfig.model_validate({"num_heads": num_heads, **config}),
        torch.Generator().manual_seed(seed),
    )


def write_reward_versions(root: Path, reference: Path, count: int) -> list[RewardVersion]:
    """Write versions 1 … count, each with heads of its own, and return their announcements."""
    from reward_service.bundle import write_bundle

    return [
        write_bundle(root, make_reward_model(reference, seed=v), make_reward_version(v))
        for v in range(1, count + 1)
    ]
