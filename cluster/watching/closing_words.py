"""What a run says at its end: the figures that matter, in words."""

from __future__ import annotations

import json
from pathlib import Path

from cluster.inert_text import shell_word
from cluster.run_folder import RunFolder

LINES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("took", "{:.0f} s, {:.1f} GiB of memory at the peak", ("wall_s", "peak_memory_gib")),
    ("episodes", "{:,} trained at {:.1f} a second", ("episodes", "episodes_per_s")),
    ("labels", "{:,} in the ledger", ("labels_in_ledger",)),
    (
        "reward",
        "{} versions, {} of them refitted from scratch",
        ("reward_versions", "reward_refits"),
    ),
    (
        "preferred",
        "to the base model in {:.0%} ({:.0%} to {:.0%}) of the newest {:,} comparisons, in {:.0%} "
        "of all; by {}",
        (
            "validation_winrate_recent",
            "validation_winrate_recent_low",
            "validation_winrate_recent_high",
            "validation_labels_recent",
            "validation_winrate",
            "labelled_by",
        ),
    ),
    (
        "judges",
        "prefer it in {:.0%} ({:.0%} to {:.0%}) of {:,} comparisons; those who train in {:+.0%} "
        "({:+.0%} to {:+.0%}) more",
        (
            "judged_winrate_judges_recent",
            "judged_winrate_judges_recent_low",
            "judged_winrate_judges_recent_high",
            "judged_labels_recent",
            "judged_winrate_gap_recent",
            "judged_winrate_gap_recent_low",
            "judged_winrate_gap_recent_high",
        ),
    ),
    (
        "gold score",
        "{:+.2f} before, {:+.2f} after (hidden from everything that learns)",
        ("gold_base_mean", "gold_final_mean"),
    ),
    ("KL", "{:.1f} nats, target {:.1f}", ("kl_final_mean", "kl_target")),
    ("KL", "{:.1f} nats", ("kl_final_mean",)),
    (
        "pretraining",
        "loss {:.3f} nats a token before, {:.3f} after",
        ("pretraining_loss_base", "pretraining_loss_final"),
    ),
    (
        "how online",
        "median coverage {:.0%}; label to policy {:.0f} s (median)",
        ("coverage_median", "label_to_policy_latency_p50_s"),
    ),
    ("staleness", "{} versions at most, {} allowed", ("policy_lag_max", "max_policy_lag")),
)


def closing_words(folder: RunFolder, page: Path) -> str:
    """Return the last lines of a run; what is not known is left out, and nothing is told twice."""
    summary = json.loads((folder.report / "summary.json").read_text(encoding="utf-8"))
    if summary.get("peak_memory_bytes") is not None:
        summary["peak_memory_gib"] = summary["peak_memory_bytes"] / 2**30
    lines = [f"{folder.path}: {folder.read_state()['state']}"]
    told = set[str]()
    for name, form, keys in LINES:
        values = [summary.get(key) for key in keys]
        if name not in told and all(value is not None for value in values):
            lines.append(f"  {name:<11} {form.format(*values)}")
            told.add(name)
    lines.append(f"  report      {page}")
    if any(folder.wandb.glob("offline-run-*")):
        lines.append(f"  wandb       wandb sync {shell_word(folder.wandb)}/offline-run-*")
    if any(folder.lineage.glob("wandb/offline-run-*")):
        logs = f"{shell_word(folder.lineage)}/wandb/offline-run-*"
        lines.append(f'  artifacts   for log in {logs}; do wandb sync "$log"; done')
    if folder.read_state()["state"] == "stopped":
        lines.append(f"  to go on    andon resume {shell_word(folder.path)}")
    return "\n".join(lines)
