"""Runs the demo for several seeds and modes, one after the other, and prints their figures.

    python -m benchmarks.demo_runs --seeds 1 2 3 --modes online
    python -m benchmarks.demo_runs --seeds 1 --modes offline

Each run is kept under `runs/results/`; one that is there already is read, not run again. The table
is Markdown, as in docs/results.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FOLDER = Path("runs/results")
FIGURES = (
    ("wall_s", "{:.0f}"),
    ("base_model_s", "{:.0f}"),
    ("peak_memory_bytes", "{:,}"),
    ("episodes", "{:,}"),
    ("labels_acknowledged", "{:,}"),
    ("labels_in_ledger", "{:,}"),
    ("reward_refits", "{}"),
    ("reward_versions", "{}"),
    ("gold_base_mean", "{:+.2f}"),
    ("gold_base_std", "{:.2f}"),
    ("gold_final_mean", "{:+.2f}"),
    ("kl_final_mean", "{:.2f}"),
    ("kl_target", "{:.1f}"),
    ("coverage_median", "{:.2f}"),
    ("label_to_policy_latency_p50_s", "{:.0f}"),
    ("label_to_policy_latency_p95_s", "{:.0f}"),
    ("policy_lag_max", "{}"),
    ("max_policy_lag", "{}"),
    ("logprob_mismatch_max", "{:.1e}"),
    ("validation_winrate", "{:.2f}"),
    ("validation_winrate_low", "{:.2f}"),
    ("episodes_per_s", "{:.1f}"),
    ("learner_idle", "{:.2f}"),
    ("actor_idle", "{:.2f}"),
)


def run_demo(mode: str, seed: int) -> dict[str, Any]:
    """Return the summary of one demo run, running it if need be."""
    folder = FOLDER / f"{mode}-{seed}"
    summary = folder / "report" / "summary.json"
    if not summary.exists():
        command = [sys.executable, "-m", "cluster.cli", "demo", "--folder", str(folder)]
        subprocess.run([*command, "--seed", str(seed), "--mode", mode], check=True)
    return dict(json.loads(summary.read_text()))


def table(runs: Sequence[tuple[str, dict[str, Any]]]) -> str:
    """Return the figures as a Markdown table, a column a run; what is unknown is a dash."""
    lines = [
        "| figure | " + " | ".join(name for name, _ in runs) + " |",
        "| --- |" + " ---: |" * len(runs),
    ]
    for key, form in FIGURES:
        cells = ["–" if run[key] is None else form.format(run[key]) for _, run in runs]
        lines.append(f"| `{key}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run what the command line asks for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--modes", nargs="+", choices=["online", "offline"], default=["online"])
    arguments = parser.parse_args()
    runs = [
        (f"{mode}, seed {seed}", run_demo(mode, seed))
        for mode in arguments.modes
        for seed in arguments.seeds
    ]
    sys.stdout.write(table(runs) + "\n")


if __name__ == "__main__":
    main()
