"""The last lines of a run, from its summary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cluster.run_folder import RunFolder
from cluster.watching.closing_words import closing_words

SUMMARY = {
    "wall_s": 600.4,
    "peak_memory_bytes": 3 * 2**30,
    "episodes": 7680,
    "episodes_per_s": 12.84,
    "labels_in_ledger": 1024,
    "reward_versions": 30,
    "reward_refits": 5,
    "validation_winrate": 0.875,
    "validation_winrate_recent": 0.91,
    "validation_winrate_recent_low": 0.8012,
    "validation_winrate_recent_high": 0.962,
    "validation_labels_recent": 100,
    "labelled_by": "simulated labelers",
    "gold_base_mean": -0.25,
    "gold_final_mean": 1.5,
    "kl_final_mean": 7.96,
    "kl_target": 8.0,
    "coverage_median": 0.9375,
    "label_to_policy_latency_p50_s": 41.5001,
    "policy_lag_max": 2,
    "max_policy_lag": 2,
}


def words(
    path: Path,
    summary: dict[str, Any],
    *,
    is_in_wandb: bool = False,
    has_artifacts: bool = False,
) -> list[str]:
    folder = RunFolder.create(path)
    folder.update_state(state="finished")
    folder.report.mkdir()
    (folder.report / "summary.json").write_text(json.dumps(summary))
    if is_in_wandb:
        (folder.wandb / "offline-run-20300101_120000-demo-1").mkdir(parents=True)
    if has_artifacts:
        (folder.lineage / "wandb" / "offline-run-20300101_120001-demo-1").mkdir(parents=True)
    return closing_words(folder, folder.report / "index.html").splitlines()


def test_a_whole_run_says_all_that_matters(tmp_path: Path) -> None:
    path = tmp_path / "demo-1"
    assert words(path, dict(SUMMARY), is_in_wandb=True) == [
        f"{path}: finished",
        "  took        600 s, 3.0 GiB of memory at the peak",
        "  episodes    7,680 trained at 12.8 a second",
        "  labels      1,024 in the ledger",
        "  reward      30 versions, 5 of them refitted from scratch",
        "  preferred   to the base model in 91% (80% to 96%) of the newest 100 comparisons, "
        "in 88% of all; by simulated labelers",
        "  gold score  -0.25 before, +1.50 after (hidden from everything that learns)",
        "  KL          8.0 nats, target 8.0",
        "  how online  median coverage 94%; label to policy 42 s (median)",
        "  staleness   2 versions at most, 2 allowed",
        f"  report      {path}/report/index.html",
        f"  wandb       wandb sync {path}/wandb/offline-run-*",
    ]


def test_artifacts_are_synced_one_by_one_in_the_order_in_which_they_were_made(
    tmp_path: Path,
) -> None:
    path = tmp_path / "demo-1"
    assert words(path, {}, is_in_wandb=True, has_artifacts=True)[-2:] == [
        f"  wandb       wandb sync {path}/wandb/offline-run-*",
        f'  artifacts   for log in {path}/lineage/wandb/offline-run-*; do wandb sync "$log"; done',
    ]


def test_a_kl_that_is_steered_to_no_target_is_told(tmp_path: Path) -> None:
    summary = {**dict.fromkeys(SUMMARY), "kl_final_mean": 4.94, "kl_target": None}
    assert "  KL          4.9 nats" in words(tmp_path / "demo-1", summary)


def test_what_is_not_known_is_left_out_and_never_zero(tmp_path: Path) -> None:
    path = tmp_path / "demo-1"
    summary = {**dict.fromkeys(SUMMARY), "labels_in_ledger": 3, "kl_target": 8.0}
    assert words(path, summary) == [
        f"{path}: finished",
        "  labels      3 in the ledger",
        f"  report      {path}/report/index.html",
    ]
