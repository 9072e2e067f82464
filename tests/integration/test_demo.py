"""`andon demo`, made small: its own base model, simulated labelers, and the offline mode."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.run_process import ended_well

pytestmark = pytest.mark.timeout(1800)

SMALL = (
    "run.episodes=256",
    "base_model.num_texts=1500",
    "ppo.batch_size=32",
    "rollouts.num_actors=1",
    "reward_model.num_normalisation_samples=32",
    "labels.total=48",
    "labels.initial=16",
    "labels.ahead=4",
    "labels.refits=2",
    # Half of a small number of queries, so that some compare the policy with the base model.
    "labels.validation_share=0.5",
)


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("demo") / "small"
    asked = ("--mode", "offline", "--seed", "5", "--folder", folder.name)
    assert "small: finished" in ended_well(folder, "demo", *asked, settings=SMALL)
    assert any((folder.parent / "runs").glob("base-model-*/model.safetensors"))
    return dict(json.loads((folder / "report" / "summary.json").read_text()))


def test_every_label_the_labelers_saw_acknowledged_is_in_the_ledger(
    summary: dict[str, Any],
) -> None:
    assert summary["labels_acknowledged"] == summary["labels_in_ledger"] >= 48


def test_offline_collects_all_labels_first_and_freezes_the_reward(summary: dict[str, Any]) -> None:
    assert summary["mode"] == "offline"
    assert (summary["reward_refits"], summary["reward_versions"]) == (1, 1)
    assert summary["episodes"] == 256


def test_the_report_knows_the_hidden_score_and_where_the_run_came_from(
    summary: dict[str, Any],
) -> None:
    assert summary["seed"] == 5
    assert summary["base_model_s"] > 0
    assert summary["gold_base_std"] > 0
    assert summary["gold_final_mean"] is not None
    assert summary["policy_lag_max"] <= summary["max_policy_lag"]
    assert summary["logprob_mismatch_max"] <= 1e-3
