"""Models in the folder of a synthetic run, named as a run names them; they hold no weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cluster.run_folder import RunFolder
from tests.support.synthetic_run import SyntheticRun

NUM_RANKS = 2


def synthetic_lineage(
    path: Path,
    *,
    checkpoints: Sequence[int] = (10, 20, 30, 40),
    bundles: Sequence[int] = (),
    final: int | None = 40,
    cluster: dict[str, Any] | None = None,
    **metrics: Any,
) -> RunFolder:
    """Write a synthetic run's folder with models, whose config asks for artifacts.

    Args:
        path: The folder.
        checkpoints: Policy versions that are kept.
        bundles: Reward versions that are kept, though not the weights that were announced.
        final: The version that was saved at the end; None: none was.
        cluster: Changes to the `[cluster]` of its config.
        metrics: Changes to its `[metrics]`.
    """
    run = SyntheticRun(path)
    asked = {"wandb": "offline", "wandb_artifacts": True, **metrics}
    run.config = run.config.model_copy(
        update={
            "metrics": run.config.metrics.model_copy(update=asked),
            "cluster": run.config.cluster.model_copy(update=cluster or {}),
        }
    )
    run.write()
    folder = RunFolder(path)
    for version in checkpoints:
        keep_checkpoint(folder, version)
    for version in bundles:
        bundle = folder.rewards / f"v{version:06d}"
        bundle.mkdir()
        (bundle / "model.safetensors").write_bytes(b"no such reward %d" % version)
        (bundle / "manifest.json").write_text("{}")
    if final is not None:
        save_final(folder, final)
    return folder


def keep_checkpoint(folder: RunFolder, version: int) -> None:
    """Keep a policy version, of which the run's own checkpoint is there too."""
    place = folder.policies / f"v{version:06d}"
    place.mkdir()
    shares = [b"policy %d of rank %d" % (version, rank) for rank in range(NUM_RANKS)]
    for rank, share in enumerate(shares):
        (place / f"rank-{rank:04d}.safetensors").write_bytes(share)
    digests = [hashlib.sha256(share).hexdigest() for share in shares]
    (place / "manifest.json").write_text(json.dumps({"format": 1, "sha256": digests}))
    folder.checkpoints.mkdir(exist_ok=True)
    (folder.checkpoints / f"v{version:06d}.json").touch()


def save_final(folder: RunFolder, version: int) -> None:
    """Save the policy at the end of a run."""
    final = folder.policies / "final"
    final.mkdir(exist_ok=True)
    (final / "config.json").write_text("{}")
    (final / "model.safetensors").write_bytes(b"final %d" % version)
    folder.update_state(final_policy_version=version)
