"""A run died between the bundle of a reward version and the swap, and no replica takes it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cluster.commands.owner_client import OwnerClient
from cluster.run_folder import RunFolder
from protocol.fits import RewardVersion
from reward_service.bundle import load_bundle, write_bundle
from reward_service.retention import WITHDRAWN_FILE, bundle_path, newest_bundle
from tests.support.beside import written
from tests.support.present import present
from tests.support.run_process import RunProcess, save_inputs

pytestmark = [pytest.mark.timeout(1800), pytest.mark.long]

STEPS = 10
SETTINGS = (
    'labelers=[{name = "robot", seconds_per_label = 0.05}]',
    *(f"run.episodes={16 * STEPS}", "learner.checkpoint.every_steps=1"),
    *("labels.total=40", "labels.warm.every_labels=8"),
)


def num_steps(run: RunFolder) -> int:
    policies = run.recordings / "policies.jsonl"
    return len(policies.read_text().splitlines()) if policies.exists() else 0


def leave_unserved(folder: RunFolder) -> int:
    """Write the next version, which scores all texts as NaN; return its number."""
    root = folder.rewards.resolve()
    bundle = load_bundle(present(newest_bundle(root)))
    with torch.no_grad():
        bundle.model.backbone.get_input_embeddings().weight.fill_(1e30)
    number = bundle.version.version + 1
    write_bundle(root, bundle.model, replace(bundle.version, version=number))
    return number


def test_it_is_withdrawn_the_cord_says_why_and_the_run_goes_on_with_the_one_before(
    tmp_path: Path,
) -> None:
    run = RunProcess(save_inputs(tmp_path / "inputs"), tmp_path / "run-1", SETTINGS)
    try:
        run.wait_for(lambda: num_steps(run.folder) >= 2, "step 2")
        run.process.kill()
        run.process.wait()
        run.wait_for_silence(timeout_s=120)
        refused = leave_unserved(run.folder)
        run = RunProcess.resumed(run.folder.path)
        run.wait_for(lambda: bool((run.state.get("cord") or {}).get("reasons")), "a pulled cord")
        [reason] = run.state["cord"]["reasons"]
        assert (reason["actor"], reason["guard"]) == ("guard", "not_finite")
        assert "the version before it stays live" in reason["reason"]
        noted = bundle_path(run.folder.rewards, refused) / WITHDRAWN_FILE
        assert json.loads(noted.read_text())["error"] == "NotFinite"
        with OwnerClient.of_run(run.folder.path) as owner:
            assert not owner.release_cord("it is withdrawn").is_pulled
        assert run.wait() == 0, run.output
        assert run.state["state"] == "finished"
    finally:
        run.kill()
    numbers = [each.version for each in written(run.folder.ledger, RewardVersion)]
    assert refused not in numbers
    assert numbers[-1] > refused
