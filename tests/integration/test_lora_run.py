"""A whole run on adapters, of policy and reward model: stopped on its way, resumed, and ended.

It has a store at a URL, as runs on nodes that share nothing may.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from cluster.metrics.jsonl_sink import read_metrics
from cluster.run_folder import RunFolder
from cluster.stores.at_url import FoldersAtUrl
from cluster.stores.cache import FolderCache
from reward_service.bundle import load_bundle
from reward_service.bundle_manifest import read_manifest
from tests.support.folder_store_contract import content
from tests.support.run_process import RunProcess, save_inputs

pytestmark = [pytest.mark.timeout(1800), pytest.mark.long]

ADAPTED = (
    *("policy.lora.rank=4", "policy.lora.alpha=8.0", "ppo.lr=1e-3"),
    *("reward_model.lora.rank=4", "reward_model.lora.alpha=8.0", "reward_fit.lr=1e-3"),
    *("rollouts.num_actors=1", "learner.checkpoint.every_steps=1", "cluster.stop_s=90"),
    "learner.gradient_checkpointing=true",
)
LABELER = 'labelers=[{name = "robot", seconds_per_label = 0.05}]'


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_inputs(tmp_path_factory.mktemp("inputs"))


def url_of(folder: Path) -> str:
    return f"file://{folder.parent}/store"


@pytest.fixture(scope="module")
def ended(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunFolder]:
    """A run that was stopped after its first step, and resumed."""
    folder = tmp_path_factory.mktemp("runs") / "adapted"
    store = f"cluster.store={url_of(folder)}"
    first = RunProcess(inputs, folder, (*ADAPTED, LABELER, "people=[]", store))
    try:
        first.wait_for((first.folder.recordings / "policies.jsonl").exists, "the first PPO step")
        first.process.send_signal(signal.SIGINT)
        assert first.wait() == 128 + signal.SIGINT, first.output
    finally:
        first.kill()
    second = RunProcess.resumed(folder)
    try:
        assert second.wait() == 0, second.output
        yield second.folder
    finally:
        second.kill()


def test_every_step_was_taken_and_every_load_proved(ended: RunFolder) -> None:
    rows = list(read_metrics(ended.metrics))
    steps = [row for row in rows if "policy/loss" in row]
    assert [row["policy/version"] for row in steps] == [1, 2, 3, 4]
    probes = [row["rollout/probe_mismatch_max"] for row in rows if _PROBE in row]
    assert probes
    assert max(probes) < 1e-4
    assert all(row["policy/grad_norm"] > 0 for row in steps)


_PROBE = "rollout/probe_mismatch_max"


def test_the_last_policy_is_whole_and_no_longer_the_reference(
    ended: RunFolder, inputs: Path
) -> None:
    final = ended.policies / "final"
    model: Any = AutoModelForCausalLM.from_pretrained(final)
    assert torch.isfinite(model(torch.tensor([[4, 5, 6]])).logits).all()
    start, now = (load_file(each / "model.safetensors") for each in (inputs / "policy", final))
    moved = {name for name in start if not torch.equal(start[name], now[name])}
    # Every linear layer has moved, and nothing else has.
    assert {name.split(".", 3)[-1] for name in moved} == {
        *("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")
    }


def test_reward_versions_are_adapters_of_the_reference(ended: RunFolder, inputs: Path) -> None:
    bundles = sorted(ended.rewards.glob("v[0-9]*"))
    assert len(bundles) > 1
    for bundle in bundles:
        manifest = read_manifest(bundle)
        assert manifest.base is not None
        assert manifest.base.path == str((inputs / "policy").resolve())
        load_bundle(bundle)


def test_checkpoints_and_what_travelled_are_small(ended: RunFolder, inputs: Path) -> None:
    whole = (inputs / "policy" / "model.safetensors").stat().st_size
    shares = list(ended.policies.glob("v*/rank-0000.safetensors"))
    assert shares
    # Of adapters, value head and their moments; all weights with theirs would be 3 times `whole`.
    assert max(each.stat().st_size for each in shares) < whole
    state = json.loads(ended.state.read_text())
    assert state["state"] == "finished"


def test_what_lasts_is_at_the_url_as_it_is_in_the_folder(ended: RunFolder, tmp_path: Path) -> None:
    store = FoldersAtUrl(url_of(ended.path), ended.path, FolderCache(tmp_path, 2**30))
    checkpoints, rewards = (store.versions(root) for root in (ended.policies, ended.rewards))
    assert [int(each.name[1:]) for each in checkpoints] == list(ended.restorable())
    assert list(rewards) == sorted(ended.rewards.glob("v[0-9]*"))
    for folder in (*checkpoints, *rewards, ended.policies / "final"):
        assert content(store.fetch(folder)) == content(folder)
